"""Serve the page in which motions are learned, tried, mixed and shared.

    python -m examples.app
    python -m examples.app --pretrained_model_name_or_path tiny-wan

The embedded models go by their names. Any other base is a folder or a Hub repository, as for training; give the size
of its clips too. Only this machine can reach the page, unless --server_name says otherwise.
"""

import os
import sys

import torch

from examples.app.arguments import DAY, parse_arguments
from examples.app.visitors import Visitors


def main(arguments: list[str]) -> None:
    options = parse_arguments(__doc__, arguments)
    visitors = Visitors(options.library.resolve(), options.keep_days * DAY, options.max_gigabytes * 2**30)
    # Gradio reads these when it is imported: where uploads and downloads are, and that nothing is told to others.
    os.environ |= {"GRADIO_TEMP_DIR": str(visitors.temporary), "GRADIO_ANALYTICS_ENABLED": "False"}
    from examples.app.page import CSS, THEME, build
    from examples.app.workshop import Workshop

    torch.set_num_threads(options.threads)
    build(Workshop(options), visitors).queue(max_size=options.max_queue).launch(
        server_name=options.server_name,
        server_port=options.server_port,
        max_file_size=options.max_upload,
        theme=THEME,
        css_paths=CSS,
        footer_links=[],
        run_history=False,  # it would keep what visitors typed, tokens included
        enable_monitoring=False,
        ssr_mode=False,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
