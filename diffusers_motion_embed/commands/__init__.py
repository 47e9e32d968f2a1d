"""The subcommands of `diffusers-motion-embed`, each a module with a `main`."""
