"""
Accounts: creation, changes, deactivation, and another key.
"""

from __future__ import annotations

import json

import pytest
from acme.jws import JWS
from josepy.jwa import ES256, HS256
from josepy.jwk import JWK, JWKOct

from tests.servers.acme_client import AcmeClient, account_key, problem_of
from tests.servers.faulty_authority import FaultyAuthority


class TestRegister:
    def test_a_key_has_one_account(self, client: AcmeClient) -> None:
        """
        A client that lost the answer gets the same account (RFC 8555, section 7.3.1).
        """
        first, again = client.kid, client.register()
        assert (200, first) == (again.status_code, again.headers["Location"])

    def test_only_an_existing_account_is_requested(self, authority: FaultyAuthority) -> None:
        """
        onlyReturnExisting creates none.
        """
        client = AcmeClient(authority.directory_url)
        assert (400, "accountDoesNotExist") == problem_of(client.register(onlyReturnExisting=True))
        assert 201 == client.register().status_code

    def test_the_terms_must_be_agreed_to(self, authority: FaultyAuthority) -> None:
        """
        As at a public CA.
        """
        answer = AcmeClient(authority.directory_url).register(termsOfServiceAgreed=False)
        assert (403, "userActionRequired") == problem_of(answer)

    @pytest.mark.parametrize(
        ("contact", "problem"),
        [
            (["tel:+431234"], "unsupportedContact"),
            (["mailto:nobody"], "invalidContact"),
            (["mailto:a@b@c"], "invalidContact"),
            ("mailto:a@b.example", "malformed"),
        ],
    )
    def test_the_contact_is_checked(self, authority: FaultyAuthority, contact: object, problem: str) -> None:
        """
        RFC 8555, section 7.3: mailto: with one address, in a list.
        """
        answer = AcmeClient(authority.directory_url).register(contact=contact)
        assert (400, problem) == problem_of(answer)


class TestAccount:
    def test_the_contact_changes(self, client: AcmeClient) -> None:
        """
        A new e-mail setting reaches the CA (RFC 8555, section 7.3.2).
        """
        contact = ["mailto:ops@certworker.example"]
        client.post(str(client.kid), {"contact": contact})
        assert contact == client.post(str(client.kid)).json()["contact"]

    def test_a_deactivated_account_is_refused(self, client: AcmeClient) -> None:
        """
        Its signature and its key are refused (RFC 8555, section 7.3.6).
        """
        assert "deactivated" == client.post(str(client.kid), {"status": "deactivated"}).json()["status"]
        assert (401, "unauthorized") == problem_of(client.new_order("shop.localhost"))
        assert (401, "unauthorized") == problem_of(client.register())

    def test_another_account_stays_hidden(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        An account shows itself to its own key only.
        """
        other = AcmeClient(authority.directory_url)
        other.register()
        assert (403, "unauthorized") == problem_of(client.post(str(other.kid)))

    def test_a_new_ca_knows_it(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        Accounts survive a restart, and replicas on one state directory share them.
        """
        with FaultyAuthority(authority.root_path.parent) as another:
            kid = str(client.kid).replace(f":{authority.port}/", f":{another.port}/")
            unregistered = AcmeClient(another.directory_url, client.key)
            unregistered.kid = client.kid
            assert unregistered.post(kid).ok
            assert 200 == unregistered.register().status_code

    def test_a_forgotten_account_does_not_exist(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        The client can register again.
        """
        authority.forget_accounts()
        assert (400, "accountDoesNotExist") == problem_of(client.new_order("shop.localhost"))
        assert 201 == client.register().status_code


class TestKeyChange:
    def change(self, client: AcmeClient, new: JWK, **inner: object) -> tuple[int, str]:
        """
        Change the key of *client* to *new*; *inner* replaces fields of the inner message.
        """
        url = client.directory["keyChange"]
        content = {"account": client.kid, "oldKey": client.key.public_key().to_json(), **inner}
        signed = JWS.sign(json.dumps(content).encode(), key=new, alg=ES256, nonce=None, url=url)
        answer = client.post(url, signed.to_json())
        return (200, "") if answer.ok else problem_of(answer)

    def test_the_new_key_signs(self, client: AcmeClient) -> None:
        """
        The old key is refused from then on (RFC 8555, section 7.3.5).
        """
        new = account_key()
        assert (200, "") == self.change(client, new)
        assert (400, "malformed") == problem_of(client.post(str(client.kid)))
        kid, client.key = client.kid, new
        assert client.post(str(client.kid)).ok
        assert kid == client.register().headers["Location"]

    def test_the_old_key_is_free(self, client: AcmeClient) -> None:
        """
        It may register another account.
        """
        first = client.kid
        self.change(client, account_key())
        assert 201 == client.register().status_code
        assert first != client.kid

    def test_the_old_key_must_be_named(self, client: AcmeClient) -> None:
        """
        Otherwise a stolen inner message would change the key of any account.
        """
        wrong = account_key().public_key().to_json()
        assert (400, "malformed") == self.change(client, account_key(), oldKey=wrong)
        assert (400, "malformed") == self.change(client, account_key(), oldKey={"kty": "EC"})
        assert (400, "malformed") == self.change(client, account_key(), account=f"{client.kid}0")

    def test_a_key_has_one_account(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        A key that is in use is a conflict, and the answer names the account.
        """
        other = AcmeClient(authority.directory_url)
        other.register()
        assert (409, "conflict") == self.change(client, other.key)


class TestExternalAccount:
    def bind(
        self, client: AcmeClient, secret: bytes, kid: str = "kid-1", **header: object
    ) -> tuple[int, str]:
        """
        Register *client* with a binding signed by *secret*.
        """
        url = client.directory["newAccount"]
        key = client.key.public_key()
        fields = {"nonce": None, "url": url, "kid": kid, "key": JWKOct(key=secret), **header}
        binding = JWS.sign(json.dumps(key.to_json()).encode(), alg=HS256, **fields)
        answer = client.register(externalAccountBinding=binding.to_json())
        return (answer.status_code, "") if answer.ok else problem_of(answer)

    @pytest.fixture
    def unregistered(self, authority: FaultyAuthority) -> AcmeClient:
        """
        A client without account, at a CA that wants a binding.
        """
        authority.policy.external_accounts["kid-1"] = b"secret"
        return AcmeClient(authority.directory_url)

    def test_the_directory_says_so(self, unregistered: AcmeClient) -> None:
        """
        A client can check it in advance (RFC 8555, section 7.1.1).
        """
        assert unregistered.directory["meta"]["externalAccountRequired"]

    def test_it_is_required(self, unregistered: AcmeClient) -> None:
        """
        RFC 8555, section 7.3.4.
        """
        assert (403, "externalAccountRequired") == problem_of(unregistered.register())

    def test_the_right_secret_binds(self, unregistered: AcmeClient) -> None:
        """
        The HMAC over the account's key is the proof.
        """
        assert (201, "") == self.bind(unregistered, b"secret")

    def test_anything_else_does_not(self, unregistered: AcmeClient) -> None:
        """
        A wrong secret, an unknown id, another URL.
        """
        assert (403, "unauthorized") == self.bind(unregistered, b"guess")
        assert (403, "unauthorized") == self.bind(unregistered, b"secret", "kid-2")
        assert (403, "unauthorized") == self.bind(unregistered, b"secret", url="http://127.0.0.1/newAccount")
