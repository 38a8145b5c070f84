#!/usr/bin/env python3
"""A person with a browser, as a program: opens a page, fills its form in, presses a button, goes where it leads.

As a command it is what `BROWSER` names: it opens the URL that az gives it and signs in as GALERIE_TEST_USER.
"""

import os
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


class _Form(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.action, self.fields, self.scripts = "", {}, 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.action = attributes["action"]
        elif tag == "input":
            self.fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "script":
            self.scripts += 1


class Browser:
    def __init__(self, ca_file: str):
        self._session = requests.Session()
        # Otherwise REQUESTS_CA_BUNDLE would count, which may be another server's.
        self._session.trust_env = False
        self._session.verify = ca_file
        self.page: requests.Response | None = None

    def open(self, url: str) -> "Browser":
        self.page = self._session.get(url, timeout=30)
        return self

    def press(self, button: str, **typed: str) -> "Browser":
        """Posts the page's form with what was typed; whatever comes of it is the next page."""
        form = _Form(self.page.text)
        assert not form.scripts, "the page has a script"
        unknown = typed.keys() - form.fields.keys()
        assert not unknown, f"the page does not ask for {unknown}:\n{self.page.text}"
        url = urljoin(self.page.url, form.action)
        self.page = self._session.post(url, data=form.fields | typed | {"action": button}, timeout=30)
        return self


def main() -> None:
    browser = Browser(os.environ["REQUESTS_CA_BUNDLE"]).open(sys.argv[1])
    browser.press("sign-in", user_name=os.environ["GALERIE_TEST_USER"], password=os.environ["GALERIE_TEST_PASSWORD"])
    # az takes the answer by a form that the page posts to it.
    browser.press("continue")


if __name__ == "__main__":
    main()
