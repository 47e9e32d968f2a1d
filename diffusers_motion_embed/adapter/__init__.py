"""An embedding on a model: the layer, where it is attached, what is loaded, how strongly and when it acts."""
