"""A policy for Synapse, as administrators install one: refuses what it is told to."""

import json
import pathlib

from synapse.module_api import NOT_SPAM, errors


class Policy:
    def __init__(self, config, api):
        self.refused = pathlib.Path(config["refused"])
        api.register_spam_checker_callbacks(check_event_for_spam=self.check)

    async def check(self, event):
        body = event.content.get("body")
        if not isinstance(body, str) or not self.refused.exists():
            return NOT_SPAM
        for word, code in json.loads(self.refused.read_text()).items():
            if word in body:
                return errors.Codes(code)
        return NOT_SPAM
