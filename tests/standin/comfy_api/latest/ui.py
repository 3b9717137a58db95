"""UI output of nodes. The stand-in writes no images and only names the files."""


class PreviewImage:
    def __init__(self, image, animated=False, cls=None, **kwargs):
        assert image.ndim == 4 and image.shape[-1] == 3
        self.values = [{"filename": f"{i}.png", "subfolder": "", "type": "temp"} for i in range(len(image))]
