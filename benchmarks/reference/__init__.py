"""The paper in its literal form, to compare with."""
