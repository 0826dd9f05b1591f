"""
Tests of the creation, changes and deactivation of accounts, and key changes.
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
        A client that lost the response gets the same account (RFC 8555, section 7.3.1).
        """
        first, again = client.kid, client.register()
        assert (200, first) == (again.status_code, again.headers["Location"])

    def test_only_return_existing_creates_no_account(self, authority: FaultyAuthority) -> None:
        """
        A request with onlyReturnExisting creates no account.
        """
        client = AcmeClient(authority.directory_url)
        assert (400, "accountDoesNotExist") == problem_of(client.register(onlyReturnExisting=True))
        assert 201 == client.register().status_code

    def test_the_terms_must_be_agreed_to(self, authority: FaultyAuthority) -> None:
        """
        The CA refuses an account that does not agree to the terms, as public CAs do.
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
        A contact is a list of `mailto:` URLs with one address each (RFC 8555, section 7.3).
        """
        answer = AcmeClient(authority.directory_url).register(contact=contact)
        assert (400, problem) == problem_of(answer)


class TestAccount:
    def test_a_new_contact_is_stored(self, client: AcmeClient) -> None:
        """
        A new contact replaces the old one (RFC 8555, section 7.3.2).
        """
        contact = ["mailto:ops@certworker.example"]
        client.post(str(client.kid), {"contact": contact})
        assert contact == client.post(str(client.kid)).json()["contact"]

    def test_a_deactivated_account_is_refused(self, client: AcmeClient) -> None:
        """
        The CA refuses the requests and the key of a deactivated account (RFC 8555, section 7.3.6).
        """
        assert "deactivated" == client.post(str(client.kid), {"status": "deactivated"}).json()["status"]
        assert (401, "unauthorized") == problem_of(client.new_order("shop.localhost"))
        assert (401, "unauthorized") == problem_of(client.register())

    def test_another_account_stays_hidden(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        An account cannot read another account.
        """
        other = AcmeClient(authority.directory_url)
        other.register()
        assert (403, "unauthorized") == problem_of(client.post(str(other.kid)))

    def test_a_restarted_ca_knows_its_accounts(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        Accounts survive a restart, and replicas with one state directory share them.
        """
        with FaultyAuthority(authority.root_path.parent) as another:
            kid = str(client.kid).replace(f":{authority.port}/", f":{another.port}/")
            unregistered = AcmeClient(another.directory_url, client.key)
            unregistered.kid = client.kid
            assert unregistered.post(kid).ok
            assert 200 == unregistered.register().status_code

    def test_a_lost_account_can_be_registered_again(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        A client can register again after the CA has lost its account.
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
        The new key signs for the account, and the old key is refused (RFC 8555, section 7.3.5).
        """
        new = account_key()
        assert (200, "") == self.change(client, new)
        assert (400, "malformed") == problem_of(client.post(str(client.kid)))
        kid, client.key = client.kid, new
        assert client.post(str(client.kid)).ok
        assert kid == client.register().headers["Location"]

    def test_the_old_key_can_register_another_account(self, client: AcmeClient) -> None:
        """
        The old key can register another account.
        """
        first = client.kid
        self.change(client, account_key())
        assert 201 == client.register().status_code
        assert first != client.kid

    def test_the_old_key_must_be_named(self, client: AcmeClient) -> None:
        """
        The inner message must name the old key and the account. A stolen message could otherwise
        change another account.
        """
        wrong = account_key().public_key().to_json()
        assert (400, "malformed") == self.change(client, account_key(), oldKey=wrong)
        assert (400, "malformed") == self.change(client, account_key(), oldKey={"kty": "EC"})
        assert (400, "malformed") == self.change(client, account_key(), account=f"{client.kid}0")

    def test_a_key_has_one_account(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        A change to the key of another account is a conflict.
        """
        other = AcmeClient(authority.directory_url)
        other.register()
        assert (409, "conflict") == self.change(client, other.key)


class TestExternalAccount:
    def bind(
        self, client: AcmeClient, secret: bytes, kid: str = "kid-1", **header: object
    ) -> tuple[int, str]:
        """
        Register *client* with a binding that *secret* signs.
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
        Return a client without an account, at a CA that requires a binding.
        """
        authority.policy.external_accounts["kid-1"] = b"secret"
        return AcmeClient(authority.directory_url)

    def test_the_directory_has_external_account_required(self, unregistered: AcmeClient) -> None:
        """
        The directory has externalAccountRequired, so clients can check it (RFC 8555, section 7.1.1).
        """
        assert unregistered.directory["meta"]["externalAccountRequired"]

    def test_a_binding_is_required(self, unregistered: AcmeClient) -> None:
        """
        The CA refuses an account without a binding (RFC 8555, section 7.3.4).
        """
        assert (403, "externalAccountRequired") == problem_of(unregistered.register())

    def test_the_correct_secret_is_accepted(self, unregistered: AcmeClient) -> None:
        """
        The CA accepts a binding that is signed with the correct secret.
        """
        assert (201, "") == self.bind(unregistered, b"secret")

    def test_another_binding_is_refused(self, unregistered: AcmeClient) -> None:
        """
        The CA refuses a wrong secret, an unknown ID and another URL.
        """
        assert (403, "unauthorized") == self.bind(unregistered, b"guess")
        assert (403, "unauthorized") == self.bind(unregistered, b"secret", "kid-2")
        assert (403, "unauthorized") == self.bind(unregistered, b"secret", url="http://127.0.0.1/newAccount")
