"""Known values in every usual form, drawn at random: none of them can be read afterwards."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from promotion_gate.base.redact import Redactor, secrets_in, secrets_of

SECRET = "Tr0ub4dor&3@x/y"
LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
VALUES = st.text(LETTERS + "$&+/=?#%@:.,-_ '\"\\!<>{}ü€", min_size=10, max_size=40).filter(
    lambda value: (
        value == value.strip()
        and len(re.sub(r"[^A-Za-z]", "", value)) >= 8
        and (len(value) > 10 or not value.isalpha())
    )
)
WORDS = st.text(LETTERS, min_size=11, max_size=40).filter(lambda value: not value.isdigit())


def encoded(value: str, before: str = "", after: str = "") -> str:
    return base64.b64encode(f"{before}{value}{after}".encode()).decode()


def every(text: str, width: int, between: str) -> str:
    return between.join(text[at : at + width] for at in range(0, len(text), width))


FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda value: value,
    "in a word": lambda value: f"tmp_{value}_x",
    "twice in a row": lambda value: value + value,
    "in an assignment": lambda value: f"A_B={shlex.quote(value)} next",
    "in an option": lambda value: f"tool --user=me:{value}",
    "upper case": lambda value: value.upper(),
    "lower case": lambda value: value.lower(),
    "capitalised": lambda value: value.capitalize(),
    "URL": lambda value: quote(value, safe=""),
    "URL, lower": lambda value: re.sub("%..", lambda code: code.group().lower(), quote(value, safe="")),
    "URL of a path": lambda value: quote(value),
    "form": lambda value: f"a=1&v={quote_plus(value)}&w=2",
    "URL, every byte": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "URL, twice": lambda value: quote(quote(value, safe=""), safe=""),
    "in a broker's URL": lambda value: f"amqp://guest:{quote(value, safe='')}@127.0.0.1:5672/",
    "raw in a broker's URL": lambda value: f"amqp://guest:{value}@127.0.0.1:5672/%2F",
    "base64": encoded,
    "base64 of user:value": lambda value: encoded(value, "user:"),
    "base64, one letter before": lambda value: encoded(value, "u"),
    "base64, two letters before": lambda value: encoded(value, "u:", "\n"),
    "base64, URL-safe": lambda value: base64.urlsafe_b64encode(f"me:{value}".encode()).decode().rstrip("="),
    "base64, wrapped": lambda value: every(encoded(value, "a longer text before it: "), 20, "\n"),
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "hex, spaced": lambda value: value.encode().hex(" "),
    "hex, colons": lambda value: value.encode().hex(":"),
    "hex, in words": lambda value: every(value.encode().hex(), 4, " "),
    "hex, escaped": lambda value: "".join(f"\\x{byte:02x}" for byte in value.encode()),
    "octal, escaped": lambda value: "".join(f"\\{byte:03o}" for byte in value.encode()),
    "JSON": lambda value: json.dumps({"x": value}),
    "JSON, not ASCII": lambda value: json.dumps([value], ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps({"x": json.dumps({"y": value})}),
    "JSON, every letter": lambda value: "".join(f"\\u{ord(letter):04x}" for letter in value),
    "JSON, slashes": lambda value: json.dumps(value).replace("/", "\\/"),
    "repr": repr,
    "repr of a list": lambda value: repr([value, {"k": value}]),
    "shell": shlex.quote,
    "shell, twice": lambda value: shlex.quote(f"psql -c {shlex.quote(value)}"),
    "shell, double quotes": lambda value: '"' + re.sub(r'(["$`\\])', r"\\\1", value) + '"',
    "shell, printf %q": lambda value: re.sub(r"([^\w@%+=:,./-])", r"\\\1", value),
    "SQL": lambda value: "ALTER ROLE aiida PASSWORD '" + value.replace("'", "''") + "'",
    "YAML": lambda value: "x: '" + value.replace("'", "''") + "'",
    "HTML": html.escape,
    "XML attribute": lambda value: f"<a b={html.escape(value)!r}/>",
    "wrapped": lambda value: every(value, 7, "\n"),
    "wrapped and indented": lambda value: every(value, 7, "\n      "),
    "wrapped in a box": lambda value: "│ " + every(value, 7, " │\n│ ") + " │",
    "continued": lambda value: every(value, 7, "\\\n"),
    "coloured": lambda value: every(value, 5, "\x1b[1;31m"),
    "coloured in JSON": lambda value: json.dumps(every(value, 5, "\x1b[0m")),
    "backspaces": lambda value: every(value, 5, " \x08"),
    "zero width": lambda value: every(value, 5, "\u200b"),
}


def readable(text: str, value: str) -> list[str]:
    """In which ways the value can still be read in a masked text."""
    core = re.sub(r"[\W_]+", "", value).lower()
    plain = re.sub(r"\x1b\[[0-9;]*m|[\x08\u200b]", "", text)
    found = {
        "raw": value.lower() in text.lower(),
        "letters": core in re.sub(r"[\W_]+", "", plain).lower(),
        "hex": value.encode().hex() in re.sub(r"[\s:]|\\x", "", text).lower(),
    }
    for word in re.findall(r"[A-Za-z0-9+/_-]{8,}", re.sub(r"\n", "", text)):
        for cut in range(4):
            data = word[cut:].replace("-", "+").replace("_", "/")
            decoded = base64.b64decode(data[: len(data) // 4 * 4])
            found["base64"] = found.get("base64", False) or value.encode() in decoded
    return [how for how, is_readable in found.items() if is_readable]


@pytest.mark.parametrize("value", ["Abcdefghij", "Aaaaaaaaaa", "horses-12"])
def test_a_value_twice_in_a_row_is_not_a_longer_word(value: str) -> None:
    assert Redactor([value]).text(f"it is {value}{value} here") == "it is *** here"


@pytest.mark.stranger(
    "16.11", "a value with a quote in it and a backslash at its end is readable where a shell quotes it"
)
@pytest.mark.parametrize("value", ["abcdefg'h\\", "Zq7xWk'3v\\", "a'b'cdefghi\\\\"])
def test_a_backslash_at_the_end_hides_nothing(value: str) -> None:
    assert Redactor([value]).text(f"A_B={shlex.quote(value)} next").count("***") == 1
    assert readable(Redactor([value]).text(f"A_B={shlex.quote(value)} next"), value) == []


@pytest.mark.stranger("16.11", "hex, upper case, tmp_S_x, S twice in a row, base64 of user:S are readable")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(
    value=st.one_of(VALUES, WORDS), around=st.sampled_from([("", ""), ("it is ", " here"), ("x='", "'"), ("(", ")")])
)
def test_a_known_value_is_not_readable_in_any_usual_form(
    form: Callable[[str], str], value: str, around: tuple[str, str]
) -> None:
    assume(not re.search(r"%[0-9a-f]{2}|\\", value, re.I) or form(value) != form(value).upper())
    text = around[0] + form(value) + around[1]
    redactor = Redactor([value])
    shown = redactor.text(text)
    assert readable(shown, value) == []
    assert redactor.text(shown) == shown
    assert not redactor.remains(shown)


@given(st.lists(st.sampled_from(list(FORMS.values())), min_size=1, max_size=6), VALUES)
@example([FORMS["raw"], FORMS["zero width"]], ">0AAAAAAAA")
def test_several_forms_in_one_text(forms: list[Callable[[str], str]], value: str) -> None:
    shown = Redactor([value]).text("\n".join(form(value) for form in forms))
    assert readable(shown, value) == []


@pytest.mark.parametrize(
    "text",
    [every(SECRET, 1, "-"), every(SECRET, 4, '" + "'), SECRET[::-1], f"{SECRET[:7]} . {SECRET[7:]}"],
    ids=["dashes", "concatenated", "backwards", "dots"],
)
def test_what_no_mask_foresaw_is_noticed(text: str) -> None:
    redactor = Redactor([SECRET])
    shown = redactor.text(text)
    assert redactor.remains(shown)
    assert not redactor.remains("a text of its own, 1234567890 times")


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("X_PASSWORD", "hunter2hunter2", {"hunter2hunter2"}),
        ("HOSTS", "amqp://u:first-pw1@a/,amqp://u:second-pw2@b/", {"first-pw1", "second-pw2"}),
        ("BROKER_URL", "amqp://u:p%40ss%2Fw1@h/", {"p%40ss%2Fw1", "p@ss/w1"}),
        ("BROKER_URL", "amqp://u:p@ss/w0rd@h:5672/v", {"p@ss/w0rd"}),
        ("DB_DSN", "postgresql://aiida:pw-of-dsn-1@h/db", {"pw-of-dsn-1"}),
        ("DB_DSN", "host=h user=aiida password=pw-of-dsn-1 dbname=x", {"pw-of-dsn-1"}),
        ("DATABASE", "host=h password='pw of\\'dsn 1'", {"pw of\\'dsn 1", "pw of'dsn 1"}),
        ("ODBC", "Server=h;User Id=u;Password=pw-of-odbc;", {"pw-of-odbc"}),
        ("ODBC", "Server=h;Password=pw-of-odbc;Encrypt=yes", {"pw-of-odbc", "pw-of-odbc;Encrypt=yes"}),
        ("CONFIG", "user: me\npassword: in-yaml-1\n", {"in-yaml-1"}),
        ("SITE_CONN", "opaque-connection-1", {"opaque-connection-1"}),
        ("CONFIG", '{"broker_password": "in-json-1", "host": "h"}', {"in-json-1"}),
        (
            "CONFIG",
            '{"a": [{"dsn": "redis://:in-json-2@h"}], "passwords": ["one-pw-1", "two-pw-2"]}',
            {"in-json-2", "one-pw-1", "two-pw-2"},
        ),
        ("PROXY_AUTH", "robot:pw-of-robot", {"robot:pw-of-robot", "pw-of-robot"}),
        ("CREDS", "opaque-creds-1", {"opaque-creds-1"}),
        ("GH_PAT", "opaque-pat-1", {"opaque-pat-1"}),
        ("SIGNING_JWT", "opaque-jwt-1", {"opaque-jwt-1"}),
        ("DOOR_PIN", "4711", {"4711"}),
        ("DB_PW", "opaque-pw-1", {"opaque-pw-1"}),
        ("PATH", "/usr/bin:/bin", set()),
        ("SSH_AUTH_SOCK", "/tmp/ssh-x/agent.1", set()),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/x/c.json", set()),
        ("FEATURE_TOKEN", "disabled", set()),
        ("HOST_LIST", '["a", "b"]', set()),
        ("BROKEN_JSON", '{"a": ' * 5000, set()),
    ],
)
@pytest.mark.stranger("16.11", "the inner password of a DSN or JSON value, the first of two URL passwords are readable")
def test_values_are_taken_apart(name: str, value: str, secrets: set[str]) -> None:
    assert {secret for _, secret in secrets_of({name: value})} == secrets


@given(st.text(LETTERS + "{}[]\":,;=@/%'\\ \n", max_size=60), st.sampled_from(["X", "DB_DSN", "A_PASSWORD", "CONFIG"]))
def test_taking_apart_never_raises(value: str, name: str) -> None:
    for secret in secrets_in(name, value):
        assert isinstance(secret, str)


ENVIRONMENT_NAMES = [
    "SENTRY_DSN",
    "DATABASE_DSN",
    "AMQP_CONN",
    "DB_CONN",
    "REDIS_AUTH",
    "REGISTRY_AUTH",
    "GITHUB_PAT",
    "AZURE_PAT",
    "CREDS",
    "DB_CREDS",
    "AWS_CRED",
    "PW",
    "DB_PW",
    "ROOT_PW",
    "JWT",
    "API_JWT",
    "PIN",
    "CARD_PIN",
    "SIGNING_KEY",
    "CONVEX_ADMIN_KEY",
    "APIKEY",
    "AUTH_TOKEN",
    "PGPASSWORD",
    "MYSQL_PWD",
    "SSHPASS",
    "TOTP_SECRET",
    "DB_PASSPHRASE",
    "HTTP_COOKIE",
    "AZURE_STORAGE_CONNECTION_STRING",
    "SAS_TOKEN",
    "STORAGE_SAS",
    "OTP",
    "LDAP_BINDPW",
    "ROOTPW",
    "DBPWD",
    "ADMINPASS",
    "DB_CONNSTR",
]


@pytest.mark.stranger("16.12", "of 37 names of an environment that hold a secret 24 are not recognised")
@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_names_of_an_environment(name: str) -> None:
    assert secrets_of({name: "Zq7-opaque-value"}) == [(name, "Zq7-opaque-value")]


HARMLESS = """\
token: 12 tokens parsed
password: required
token: convex
test_password: PASSED
password: must be at least 8 characters
api_key: see the vault
- `access_token`: owned by Convex
secret: not set
token: expires in 3600 s
auth_token: is read from the environment
password: hidden
client_secret: string, required
session_token: Convex
db_password: unchanged
password: the one of the broker
token: optional
credentials: from ~/.pgpass
pin: 5
conn: established
auth: yes
pat: x
jwt: expired
12 passwords checked
password authentication failed for user "aiida"
tests/test_token.py::test_secret PASSED
max_tokens: 100
primary_key: id1"""


@pytest.mark.stranger("16.12", "of 67 harmless lines 12 are masked, ownership evidence among them")
@pytest.mark.parametrize("line", HARMLESS.splitlines())
def test_a_harmless_line_stays(line: str) -> None:
    assert Redactor(["Zq7-opaque-value"]).text(line) == line


KEY = "".join(
    f"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt{number:02}\n" for number in range(4)
)


@pytest.mark.stranger("16.11", "the body of a private key, whose hunk begins inside the key, is readable")
@pytest.mark.parametrize(
    "text",
    [
        "@@ -3,4 +3,4 @@\n" + "".join(f"+{line}\n" for line in KEY.splitlines()),
        "@@ -3,4 +3,4 @@\n"
        + "".join(f" {line}\n" for line in KEY.splitlines())
        + "+-----END OPENSSH PRIVATE KEY-----\n",
        "".join(f"-{line}\n" for line in ["-----BEGIN OPENSSH PRIVATE KEY-----", *KEY.splitlines()]),
        KEY,
    ],
    ids=["hunk", "hunk with the end", "hunk with the begin", "body"],
)
def test_a_part_of_a_key_is_masked(text: str) -> None:
    shown = Redactor().text(text)
    assert "b3BlbnNz" not in shown and "***" in shown
    assert Redactor().text(shown) == shown


SHAPES = [
    ("rabbitmqctl add_user aiida Zq7x", "rabbitmqctl add_user aiida ***"),
    ("rabbitmqctl change_password aiida Zq7x", "rabbitmqctl change_password aiida ***"),
    ("ALTER ROLE aiida WITH LOGIN PASSWORD 'Zq7x'", "ALTER ROLE aiida WITH LOGIN PASSWORD '***'"),
    ("127.0.0.1:5432:aiida:aiida:Zq7x", "127.0.0.1:5432:aiida:aiida:***"),
    ('{default_pass, <<"Zq7x">>}', '{default_pass, <<"***">>}'),
    ('{rabbit, [{default_pass, "Zq7x"}]}', '{rabbit, [{default_pass, "***"}]}'),
    ("docker run -e DB_PASSWORD=Zq7x image", "docker run -e DB_PASSWORD=*** image"),
    ("docker run -eDB_PASSWORD=Zq7x image", "docker run -eDB_PASSWORD=*** image"),
    ("docker login -u robot -p Zq7x registry", "docker login -u robot -p *** registry"),
    ('{"auths": {"r": {"auth": "dTpwMTIz"}}}', '{"auths": {"r": {"auth": "***"}}}'),
    ("docker run -p 8080:80 image", "docker run -p 8080:80 image"),
    ("machine h\n  login u\n  password Zq7x\n", "machine h\n  login u\n  password ***\n"),
    ("sshpass -p Zq7x ssh h", "sshpass -p *** ssh h"),
    ("sshpass -pZq7x ssh h", "sshpass -p*** ssh h"),
    ("amqp://u:Zq@7/x@h:5672/v", "amqp://u:***@h:5672/v"),
    ("postgresql+psycopg://u:Zq7x@h/db", "postgresql+psycopg://u:***@h/db"),
    ("--ssh-extra-args=-o ProxyCommand='sshpass -p Zq7x x'", "--ssh-extra-args=-o ProxyCommand='sshpass -p *** x'"),
    ("SENTRY_DSN=Zq7x", "SENTRY_DSN=***"),
]  # fmt: skip


@pytest.mark.stranger("16.11", "`--ssh-extra-args` and a broker's URL with raw @ and / in the password show it")
@pytest.mark.parametrize(("text", "shown"), SHAPES, ids=[text[:24] for text, _ in SHAPES])
def test_a_shape_of_this_field(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown
    assert Redactor().text(shown) == shown
