"""Access tokens: what a token endpoint's answer is taken for, and who gets which."""

import asyncio

import pytest

from refsys.infra.stations.tokens import Token, Tokens, read_token


def now():
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("told", "life_s"),
    [
        ("3600", 3600),
        ('"600"', 600),
        ("0", 300),
        ("-5", 300),
        ("null", 300),
        ('"inf"', 300),
        ('"soon"', 300),
        ("[]", 300),
    ],
)
async def test_a_token_is_to_be_renewed_when_four_fifths_of_its_life_are_over(told, life_s):
    token = read_token(b'{"access_token": "a", "expires_in": %s}' % told.encode(), None)
    assert token.renew_at - now() == pytest.approx(0.8 * life_s, abs=1)


async def test_a_life_that_is_not_told_is_five_minutes():
    assert read_token(b'{"access_token": "a"}', None).renew_at - now() == pytest.approx(240, abs=1)


@pytest.mark.parametrize(("told", "expected"), [("", "before"), (', "refresh_token": "new"', "new")])
async def test_a_refresh_token_stays_good_until_another_is_given(told, expected):
    before = Token("a", "before", 0.0)
    assert read_token(b'{"access_token": "b"%s}' % told.encode(), before).refresh == expected


async def test_who_comes_late_with_a_refused_token_gets_the_one_that_replaced_it():
    granted = []

    async def grant(before):
        granted.append(Token(f"token-{len(granted) + 1}", "", now() + 100))
        return granted[-1]

    tokens = Tokens(grant)
    first = await tokens.current()
    second = await tokens.replace(first)
    assert (first.access, second.access) == ("token-1", "token-2")
    assert await tokens.replace(first) is second
    assert await tokens.current() is second
    assert len(granted) == 2


async def test_a_refused_token_is_replaced_by_the_password_not_by_its_refresh_token():
    asked = []

    async def grant(before):
        asked.append(before)
        return Token(f"token-{len(asked)}", "refresh", now() + 100)

    tokens = Tokens(grant)
    await tokens.replace(await tokens.current())
    assert asked == [None, None]


async def test_closing_ends_what_is_on_its_way():
    started, for_ever = asyncio.Event(), asyncio.Event()

    async def grant(before):
        started.set()
        await for_ever.wait()

    tokens = Tokens(grant)
    waiting = asyncio.create_task(tokens.current())
    await started.wait()
    await tokens.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
