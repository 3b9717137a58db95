"""What people look at: sheets, strips, overlays. The only wing with numpy and Pillow."""
