"""Made-up credentials of many kinds, put together so that nothing takes this file for one that holds some."""

from __future__ import annotations

_A = "abcdefghijklmnopqrstuvwxyz0123456789"
_U = _A.upper()

PLANTED = {
    "artifactory": "AK" + "C" + _A[:20],
    "aws": "AK" + "IA" + _U[:16],
    "azure-storage-key": "Account" + "Key=" + (_A * 3)[:86] + "==",
    "basic-auth": "://deploy:" + "s3cr3tpassw0rd" + "@",
    "discord": "M" + _A[:23] + "." + _A[:6] + "." + _A[:27],
    "github-token": "gh" + "p_" + _A,
    "gitlab-token": "gl" + "pat-" + _A[:20],
    "jwt": "ey" + "J" + _A[:20] + "." + _A[:30] + "." + _A[:20],
    "mailchimp": _A[:32] + "-" + "us12",
    "openai": "sk" + "-" + _A[:20] + "T3Blbk" + "FJ" + _A[:20],
    "pypi-token": "py" + "pi-AgEIcHlwaS5vcmc" + (_A * 3)[:80],
    "sendgrid": "S" + "G." + _A[:22] + "." + (_A * 2)[:43],
    "slack": "xo" + "xb-" + "1234567890-" + _A[:24],
    "square-oauth": "sq0" + "csp-" + (_A * 2)[:43],
    "stripe": "sk" + "_live_" + _A[:24],
    "telegram-token": "123456789" + ":" + _A[:35],
    "twilio": "S" + "K" + _A[:32],
}
