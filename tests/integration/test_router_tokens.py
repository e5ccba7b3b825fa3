"""The router beside tokens, which gateways verify: whom it lets in on whose word."""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from played_gateway import EVENTS, RouterTest, number  # noqa: E402


class Tokens(RouterTest):
    configuration = 'tokens = { required = true; };\nnamespaces = ( { name = "/"; }, { name = "/open"; tokens_required = false; } );\n'

    def connect(self, gateway, namespace, grant):
        socket, request = number(), number()
        gateway.send(("CONNECT", request, socket, namespace, "", "127.0.0.1", grant))
        return gateway.take("CONNECTED", "REFUSED", where=lambda record: record.request == request)

    def test_a_gateway_that_verifies_none_lets_nobody_in(self):
        gateway = self.gateway()
        refused = self.connect(gateway, "/", "")
        self.assertEqual(json.loads(refused.error)["data"], {"code": "token_missing"})
        self.assertEqual(self.router.metric("hubbub_grants_missing_total"), 1)
        self.assertIn("verifies no tokens", self.router.log())
        self.assertEqual(self.connect(gateway, "/", '{"sub":"ann"}').sender, "ann")
        self.assertTrue(self.connect(gateway, "/open", "").sender.startswith("anon:"))


class WithoutTokens(RouterTest):
    configuration = EVENTS

    def test_nobody_needs_a_grant(self):
        gateway = self.gateway()
        self.assertEqual(gateway.connect().namespace, "/")


if __name__ == "__main__":
    unittest.main()
