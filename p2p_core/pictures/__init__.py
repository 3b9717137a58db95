"""Images for people: sheets, strips, overlays. The only folder that uses numpy and Pillow."""
