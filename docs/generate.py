"""Write the generated pages: `python -m docs.generate`. A test keeps them fresh."""

from __future__ import annotations

from pathlib import Path

from docs import commands_page, settings_page

HERE = Path(__file__).parent
PAGES = {"settings.md": settings_page.page, "commands.md": commands_page.page}


def main() -> None:
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
