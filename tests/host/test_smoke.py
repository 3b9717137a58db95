import torch, time, pytest, contextlib
def rows(host, w,h,cfg,n,steps=3):
    l=host.empty_latent(w,h,n); l["batch_index"]=[0]*n
    return host.sample(host.model(),host.encode("a red circle and a blue star on grass"),host.encode(""),latent=l,cfg=cfg,steps=steps)["samples"]
@pytest.mark.parametrize("mk",[True,False])
def test_x(host,mk):
    with torch.backends.mkldnn.flags(enabled=mk):
     for w,h in ((64,64),(128,128),(256,256),(384,192)):
      for cfg in (1.0,4.0):
        t=time.time()
        a=rows(host,w,h,cfg,1)
        t1=time.time()-t
        print(mk,w,h,cfg,round(t1,2),[(rows(host,w,h,cfg,n)-a).abs().max().item() for n in (2,3,4,6)])
