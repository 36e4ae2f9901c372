"""Translation over HTTP: LibreTranslate's interface, word links, and a page for the browser. See docs/serving.md."""
