"""An embedding outside of any model: files, their compact form, the Hub, model cards, the authors' checkpoints."""
