"""Redaction: a table of what is masked and what must stay, and the properties that hold for every text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_gate.base.redact import MASK, Redactor, is_secret_name, secrets_of, secrets_that_are_names

PARSER_CASES = Path(__file__).parent / "parsers" / "cases"

# id, text, what is shown of it
BY_RULE = [
    # assignments
    ("env-assignment", "PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
    ("env-export", "export DB_PASS='hunter2' B=2", "export DB_PASS='***' B=2"),
    ("env-passwd", "ROOT_PASSWD=x;", "ROOT_PASSWD=***;"),
    ("env-token", "VAULT_TOKEN=s.abcdef", "VAULT_TOKEN=***"),
    ("env-secret-key", "AWS_SECRET_ACCESS_KEY=/9j4AAQ+x=", "AWS_SECRET_ACCESS_KEY=***"),
    ("env-api-key", "OPENAI_API_KEY=sk-abc", "OPENAI_API_KEY=***"),
    ("env-cookie", "RABBITMQ_ERLANG_COOKIE=XYZZY", "RABBITMQ_ERLANG_COOKIE=***"),
    ("env-credential", "SLURM_CREDENTIAL=abc", "SLURM_CREDENTIAL=***"),
    ("env-shell-concatenation", "PASSWORD=ab\"c d\"'e f'g next", "PASSWORD=*** next"),
    ("env-escaped-space", "PASSWORD=a\\ b next", "PASSWORD=*** next"),
    ("env-quoted-as-one-word", "'PASSWORD=a b' next", "'PASSWORD=***' next"),
    ("env-quoted-with-quote", "'PASSWORD=it'\"'\"'s' next", "'PASSWORD=***' next"),
    ("env-two", "DB_PASSWORD=x DB_HOST=y MQ_PASSWORD=z", "DB_PASSWORD=*** DB_HOST=y MQ_PASSWORD=***"),
    ("env-in-json-text", '{"cmd": "X PASSWORD=abc", "ok": 1}', '{"cmd": "X PASSWORD=***", "ok": 1}'),
    ("env-empty", "DB_PASSWORD=\nnext", "DB_PASSWORD=\nnext"),
    ("env-unclosed-quote", "PASSWORD='a b c", "PASSWORD=***"),
    ("call-keyword", "connect(password='x y', user='u')", "connect(password='***', user='u')"),
    # key: value
    ("yaml", "broker_password: guest", "broker_password: ***"),
    ("yaml-more-words", "  database_password: pass phrase words", "  database_password: ***"),
    ("yaml-quoted", "- password: 'a b' # note", "- password: '***' # note"),
    ("yaml-block", "secret: |\n  one\n\n  two\nnext: 1\n", "secret: |\n  ***\nnext: 1\n"),
    ("yaml-crlf", "password: abc\r\nnext: 1\r\n", "password: ***\r\nnext: 1\r\n"),
    ("json", '{"password": "x y", "user": "u"}', '{"password": "***", "user": "u"}'),
    ("json-escaped-quote", r'{"password": "x\"y", "user": "u"}', '{"password": "***", "user": "u"}'),
    ("json-in-json", r'"{\"password\": \"x y\", \"user\": 1}"', r'"{\"password\": \"***\", \"user\": 1}"'),
    ("json-camel", '{"dbPassword":"x","clientSecret":"y"}', '{"dbPassword":"***","clientSecret":"***"}'),
    ("json-number", '{"password": 1234}', '{"password": ***}'),
    ("python-dict", "{'token': 'abc', 'n': 1}", "{'token': '***', 'n': 1}"),
    ("ini", "default_pass = guest", "default_pass = ***"),
    ("coloured", "password\x1b[0m: \x1b[32mhunter2", "password\x1b[0m: \x1b[32m***"),
    ("column", "database_password   abc", "database_password   ***"),
    ("table", "| broker_password | guest |", "| broker_password | *** |"),
    ("table-drawn", "│ database_password  │ pw1  │", "│ database_password  │ ***  │"),
    ("query", "GET /x?token=abc&user=me", "GET /x?token=***&user=me"),
    ("npmrc", "//registry/:_authToken=abc", "//registry/:_authToken=***"),
    (
        "verdi-profile-show",
        "broker_username: aiida\nbroker_password: mq 1!\ndatabase_password: 'db:1'\ndatabase_port: 5432\n",
        "broker_username: aiida\nbroker_password: ***\ndatabase_password: '***'\ndatabase_port: 5432\n",
    ),
    ("passphrase-like-a-type", "password: text me now", "password: ***"),
    ("type-assigned", "DB_PASSWORD=string", "DB_PASSWORD=***"),
    ("type-option", "--password string", "--password ***"),
    # options
    ("option", "setup --db-password hunter2 --x", "setup --db-password *** --x"),
    ("option-equals", "setup --password=hunter2", "setup --password=***"),
    ("option-quoted", "setup --password 'a b' --x", "setup --password '***' --x"),
    ("option-verdi", "verdi setup --database-password pw1 -n", "verdi setup --database-password *** -n"),
    ("option-in-list", "['--password', 'a b', 'x']", "['--password', '***', 'x']"),
    ("option-flag-only", "createuser --password --echo", "createuser --password --echo"),
    ("option-no", "psql --no-password -l", "psql --no-password -l"),
    ("option-file", "x --password-file /run/pw", "x --password-file /run/pw"),
    # URLs
    ("url", "amqp://guest:guest@127.0.0.1:5672/", "amqp://guest:***@127.0.0.1:5672/"),
    (
        "url-status-line",
        " ✔ broker:     RabbitMQ v4.0.5 @ amqp://guest:guest@127.0.0.1:5672/?heartbeat=600",
        " ✔ broker:     RabbitMQ v4.0.5 @ amqp://guest:***@127.0.0.1:5672/?heartbeat=600",
    ),
    ("url-at-in-password", "postgresql://u:p@ss@h/db", "postgresql://u:***@h/db"),
    ("url-slash-in-password", "amqp://u:p/w#d@h/v", "amqp://u:***@h/v"),
    ("url-two", "amqp://a:b@h1,amqp://c:d@h2", "amqp://a:***@h1,amqp://c:***@h2"),
    ("url-no-user", "redis://:secret@h", "redis://:***@h"),
    ("url-token", "https://ghs0123456789abcdefghij@git.example/x", "https://***@git.example/x"),
    ("url-encoded", "url=amqp%3A%2F%2Fguest%3Apw1%40host", "url=amqp%3A%2F%2Fguest%3A***%40host"),
    ("url-json", r'"amqp:\/\/u:pw@h"', r'"amqp:\/\/u:***@h"'),
    ("url-port", "http://localhost:8080/a@b", "http://localhost:8080/a@b"),
    ("url-scope", "https://registry.npmjs.org/@scope/x", "https://registry.npmjs.org/@scope/x"),
    ("url-ssh", "ssh://git@host:22/x", "ssh://git@host:22/x"),
    # headers, commands, tokens, keys
    ("bearer", "Authorization: Bearer abc.def-1", "Authorization: Bearer ***"),
    ("bearer-in-option", "curl -H 'Authorization: Bearer a1b2c3d4' u", "curl -H 'Authorization: Bearer ***' u"),
    ("bearer-alone", "sent Bearer a1b2c3d4e5 ok", "sent Bearer *** ok"),
    ("bearer-prose", "Bearer tokens are used", "Bearer tokens are used"),
    ("basic", "Authorization: Basic dTpwMTIz", "Authorization: Basic ***"),
    ("curl-user", "curl -u me:pw http://x", "curl -u me:*** http://x"),
    ("rabbitmq-user", "rabbitmqctl add_user aiida pw1", "rabbitmqctl add_user aiida ***"),
    ("rabbitmq-password", "+ rabbitmqctl change_password 'aiida' 'p w'", "+ rabbitmqctl change_password 'aiida' '***'"),
    ("sql", "ALTER ROLE aiida WITH PASSWORD 'abc';", "ALTER ROLE aiida WITH PASSWORD '***';"),
    ("sql-in-shell", "-c 'ALTER ROLE a PASSWORD '\"'\"'p'\"'\"''", "-c 'ALTER ROLE a PASSWORD '\"'\"'***'\"'\"''"),
    ("sshpass", "sshpass -p hunter2 ssh x", "sshpass -p *** ssh x"),
    ("netrc", "machine h login u password pw1", "machine h login u password ***"),
    ("pgpass", "localhost:5432:*:aiida:pw1", "localhost:5432:*:aiida:***"),
    ("github-token", "using ghp_" + "a1B2" * 9, "using ***"),
    ("jwt", "got eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4 ok", "got *** ok"),
    (
        "key-block",
        "x\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\nbnNz\n-----END OPENSSH PRIVATE KEY-----\ny",
        "x\n-----BEGIN OPENSSH PRIVATE KEY-----\n***\n-----END OPENSSH PRIVATE KEY-----\ny",
    ),
    (
        "key-block-in-json",
        r'"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"',
        '"-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\\n"',
    ),
    (
        "key-block-cut-below",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEabcdABCD\nxyz12345\nand more text\n",
        "-----BEGIN RSA PRIVATE KEY-----\n***\nand more text\n",
    ),
    ("key-block-cut-above", "MIIEabcdABCD\nxyz1\n-----END PRIVATE KEY-----", "***\n-----END PRIVATE KEY-----"),
    ("public-key", "-----BEGIN PUBLIC KEY-----\nMIIB\n", "-----BEGIN PUBLIC KEY-----\nMIIB\n"),
    # any *_KEY, bare pass
    ("deploy-key", "CONVEX_DEPLOY_KEY=prod:fox|abc12", "CONVEX_DEPLOY_KEY=***"),
    ("admin-key", "ADMIN_KEY=hunter2 x", "ADMIN_KEY=*** x"),
    ("self-hosted-key", "CONVEX_SELF_HOSTED_ADMIN_KEY='self|0a1b'", "CONVEX_SELF_HOSTED_ADMIN_KEY='***'"),
    ("license-key", "license_key: AB-12", "license_key: ***"),
    ("any-key", "SOME_SERVICE_KEY=abc", "SOME_SERVICE_KEY=***"),
    ("any-key-quoted", "relay_key: 'a b c'", "relay_key: '***'"),
    ("any-key-column", "deploy_key   prod:fox|a=b", "deploy_key   ***"),
    ("any-key-base64", "RELAY_KEY_BASE64=abc", "RELAY_KEY_BASE64=***"),
    ("any-key-option", "deploy --relay-key abc", "deploy --relay-key ***"),
    ("any-key-json", '{"relayKey": "abc", "sortKey": "abc"}', '{"relayKey": "***", "sortKey": "abc"}'),
    ("private-key-type", "deploy_key: ssh-ed25519", "deploy_key: ***"),
    ("bare-pass", "PASS=hunter2 x", "PASS=*** x"),
    ("bare-pass-yaml", "user: me\npass: hunter2", "user: me\npass: ***"),
    ("bare-pass-json", '{"user": "me", "pass": "hunter"}', '{"user": "me", "pass": "***"}'),
    ("bare-pass-flow", "{user: me, pass: hunter}", "{user: me, pass: ***}"),
    ("bare-pass-behind-a-user", "user: me pass: hunter2", "user: me pass: ***"),
    ("dbpass", "dbpass=x ROOTPASS=y", "dbpass=*** ROOTPASS=***"),
    # lists, pairs of fields, values of several lines
    ("passwords", '{"passwords": ["x", "y z"], "n": [1]}', '{"passwords": [***], "n": [1]}'),
    ("json-bracket-in-quotes", '{"password": "[x1"}', '{"password": "***"}'),
    ("passwords-lines", '"api_keys": [\n  "x",\n  "y"\n]', '"api_keys": [\n  ***\n]'),
    ("passwords-escaped", r'"{\"passwords\": [\"x\"]}"', r'"{\"passwords\": [***]}"'),
    ("secrets-with-names", "secrets: [{name: a}]", "secrets: [{name: a}]"),
    ("two-fields", '{"name":"DB_PASSWORD","value":"x y"}', '{"name":"DB_PASSWORD","value":"***"}'),
    ("two-fields-turned", '{"value": "x", "name": "DB_PASSWORD"}', '{"value": "***", "name": "DB_PASSWORD"}'),
    ("two-fields-yaml", "- name: A_TOKEN\n  value: a b\n- name: B\n", "- name: A_TOKEN\n  value: ***\n- name: B\n"),
    ("two-fields-plain", '{"name":"DB_HOST","value":"x"}', '{"name":"DB_HOST","value":"x"}'),
    ("quoted-lines", "PASSWORD='one\ntwo'\nnext: 'x'", "PASSWORD='***'\nnext: 'x'"),
    ("quoted-lines-yaml", 'password: "one\n  two"\nnext: 1', 'password: "***"\nnext: 1'),
    ("quoted-lines-as-one-word", "'PASSWORD=one\ntwo'\nnext", "'PASSWORD=***'\nnext"),
    ("quote-of-another-line", "PASSWORD='one\nit's up\n", "PASSWORD=***\nit's up\n"),
    ("url-short-token", "https://SHORTTOKEN@host/x", "https://***@host/x"),
    ("url-short-token-json", r'"https:\/\/tok3n0@host"', r'"https:\/\/***@host"'),
    ("url-user", "https://git@host https://x-access-token@h", "https://git@host https://x-access-token@h"),
    ("coloured-spelled", r"password: \u001b[32mhunter2", r"password: \u001b[32m***"),
    # results, which must stay
    ("result", "test_password: PASSED\ndatabase_password: FAILED", "test_password: PASSED\ndatabase_password: FAILED"),
    ("result-column", "session_key   DOWN", "session_key   DOWN"),
    ("result-table", "| auth_token | ok |", "| auth_token | ok |"),
    ("result-share", "test_token: PASSED [ 10%]", "test_token: PASSED [ 10%]"),
    ("result-coloured", "test_token: \x1b[32m✔ OK\x1b[0m", "test_token: \x1b[32m✔ OK\x1b[0m"),
    ("result-equals", "auth_token=ok db_password=MISSING", "auth_token=ok db_password=MISSING"),
    ("result-and-more", "password: ok computer", "password: ***"),
    ("result-as-an-option", "--password ok", "--password ***"),
    ("pass-count", "PASS: 3 tests\npass: 12\nTEST PASS=3 FAIL=0", "PASS: 3 tests\npass: 12\nTEST PASS=3 FAIL=0"),
    ("pass-automake", "PASS: tests/foo.sh\n# PASS:  5\n", "PASS: tests/foo.sh\n# PASS:  5\n"),
    ("pass-prose", "First pass: parse it, bypass=x", "First pass: parse it, bypass=x"),
    ("pass-column", "PASS  src/foo.test.ts", "PASS  src/foo.test.ts"),
    ("keys", "keys: 3, key: abc", "keys: 3, key: abc"),
    ("keys-of-tables", "primary_key: id1, foreign_key=a.b1", "primary_key: id1, foreign_key=a.b1"),
    ("keys-of-messages", "routing_key=a.b1 idempotencyKey: e1", "routing_key=a.b1 idempotencyKey: e1"),
    ("key-in-prose", "- `tenant_key`: of the caller, from Convex", "- `tenant_key`: of the caller, from Convex"),
    ("key-in-prose-plain", "- tenant_key: owned by Convex", "- tenant_key: owned by Convex"),
    ("key-in-a-table", "| tenant_key | Convex |", "| tenant_key | Convex |"),
    ("host-key", "host_key: ssh-ed25519 AAAAC3NzaC1lZDI1\nx", "host_key: ssh-ed25519 AAAAC3NzaC1lZDI1\nx"),
    ("host-key-path", "ssh_host_rsa_key: AAAA1", "ssh_host_rsa_key: AAAA1"),
    ("public-key-of-deploy", "DEPLOY_PUBLIC_KEY=abc1", "DEPLOY_PUBLIC_KEY=abc1"),
    (
        "public-value",
        "deploy_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@vm",
        "deploy_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@vm",
    ),
    ("fingerprint", "deploy_key: SHA256:" + "aB3" * 14 + "x", "deploy_key: SHA256:" + "aB3" * 14 + "x"),
    ("path-of-any-key", "RELAY_KEY=~/keys/relay", "RELAY_KEY=~/keys/relay"),
    # what must stay
    ("path-of-key", "PROMOTION_SIGNING_KEY=/etc/keys/id_ed25519", "PROMOTION_SIGNING_KEY=/etc/keys/id_ed25519"),
    ("path-of-home-key", "ssh_key: ~/.ssh/id_ed25519", "ssh_key: ~/.ssh/id_ed25519"),
    ("path-of-credentials", "X_CREDENTIALS=/etc/x/c.json", "X_CREDENTIALS=/etc/x/c.json"),
    ("pwd", "PWD=/srv/app OLDPWD=/", "PWD=/srv/app OLDPWD=/"),
    ("count-of-tokens", "max_tokens=100 token_limit=3", "max_tokens=100 token_limit=3"),
    ("tokenizers", "TOKENIZERS_PARALLELISM=x", "TOKENIZERS_PARALLELISM=x"),
    ("idempotency-key", "idempotency_key: string", "idempotency_key: string"),
    ("passed-test", "tests/test_password.py::test_token PASSED", "tests/test_password.py::test_token PASSED"),
    ("pass-line", "PASS: broker [PASS]", "PASS: broker [PASS]"),
    ("prompt", "Enter password: \nnext", "Enter password: \nnext"),
    ("pg-error", "FATAL:  password authentication failed for x", "FATAL:  password authentication failed for x"),
    ("etc-passwd", "/etc/passwd: No such file", "/etc/passwd: No such file"),
    ("contract-bullet", "- `client_secret`: string, required", "- `client_secret`: string, required"),
    ("contract-table", "| access_token | string | yes |", "| access_token | string | yes |"),
    ("contract-json", '{"apiKey": "string"}', '{"apiKey": "string"}'),
    ("contract-ts", "token?: string; x", "token?: string; x"),
    ("path-of-api-key", "MUNGE_KEY=/etc/munge/munge.key", "MUNGE_KEY=/etc/munge/munge.key"),
    ("null", "broker_password: null", "broker_password: null"),
    ("controller", "Slurmctld(primary) at vm is UP", "Slurmctld(primary) at vm is UP"),
]  # fmt: skip

WORD = "Xk7-pq=R'9"
SPLIT = "Tr0ub4dor&3xyz"
KNOWN = [
    ("plain", WORD, f"it is {WORD}.", "it is ***."),
    ("start-and-end", WORD, WORD, "***"),
    ("quoted", WORD, f'"{WORD}"', '"***"'),
    ("shell-quoted", WORD, "x 'Xk7-pq=R'\"'\"'9' y", "x '***' y"),
    ("printf-q", "a b$c&d(e)", r"x a\ b\$c\&d\(e\) y", "x *** y"),
    ("json", 'say"hello"1', r'{"x": "say\"hello\"1"}', '{"x": "***"}'),
    ("json-unicode", "pässwörter1", r'["p\u00e4ssw\u00f6rter1"]', '["***"]'),
    ("url-encoded", WORD, "x=Xk7-pq%3DR%279&y", "x=***&y"),
    ("url-encoded-lower", WORD, "x=Xk7-pq%3dR%279&y", "x=***&y"),
    ("url-encoded-space", "two words1", "x=two+words1&y=two%20words1", "x=***&y=***"),
    ("html", "a<b>&c<d>1", "<p>a&lt;b&gt;&amp;c&lt;d&gt;1</p>", "<p>***</p>"),
    ("base64", "hunter2hunter2", "aHVudGVyMmh1bnRlcjI=", "***="),
    ("backslashes-doubled", "back\\slash\\1", "x back\\\\slash\\\\1", "x ***"),
    ("line-wrap", SPLIT, "x Tr0ub4\n  dor&3xyz y", "x ***\n  *** y"),
    ("line-wrap-crlf", SPLIT, "x Tr0ub4\r\ndor&3xyz y", "x ***\r\n*** y"),
    ("line-wrap-in-box", SPLIT, "│ Tr0ub4\n│ dor&3xyz", "│ ***\n│ ***"),
    ("continuation", SPLIT, "Tr0ub4\\\ndor&3xyz", "***\\\n***"),
    ("colours", SPLIT, "x \x1b[31mTr0u\x1b[1;32mb4dor&3xyz\x1b[0m y", "x \x1b[31m***\x1b[1;32m***\x1b[0m y"),
    ("after-escape", SPLIT, "'x\\nTr0ub4dor&3xyz'", "'x\\n***'"),
    ("option-letter", SPLIT, "mysql -pTr0ub4dor&3xyz", "mysql -p***"),
    ("many-lines", "first-line-1\nsecond-line-2", "a second-line-2 b first-line-1", "a *** b ***"),
    ("wrap-after-blanks", SPLIT, "x Tr0ub4  \n  dor&3xyz y", "x ***  \n  *** y"),
    ("wrap-in-panel", SPLIT, "│ Tr0ub4 │\n│ dor&3xyz │", "│ *** │\n│ *** │"),
    ("wrap-in-ascii-panel", SPLIT, "| Tr0ub4 |\n| dor&3xyz |", "| *** |\n| *** |"),
    (
        "wrap-in-coloured-panel",
        SPLIT,
        "\x1b[31m│\x1b[0m Tr0ub4 \x1b[31m│\x1b[0m\n\x1b[31m│\x1b[0m dor&3xyz",
        "\x1b[31m│\x1b[0m *** \x1b[31m│\x1b[0m\n\x1b[31m│\x1b[0m ***",
    ),
    ("wrap-in-json", SPLIT, r'"Tr0ub4\n  dor&3xyz"', r'"***\n  ***"'),
    ("slashes-in-json", "pa/ss/word1", r'{"x": "pa\/ss\/word1"}', '{"x": "***"}'),
    ("part-of-a-word", "promotion", "aiida_promotion promotions xpromotion", "aiida_promotion promotions xpromotion"),
    ("short", "guest", "user guest logged in", "user guest logged in"),
    ("stars", "********", "******** x", "******** x"),
]


@pytest.mark.parametrize(("text", "shown"), [case[1:] for case in BY_RULE], ids=[case[0] for case in BY_RULE])
def test_by_rule(text: str, shown: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == shown
    assert redactor.text(shown) == shown
    assert bool(redactor.masks) == (text != shown)


@pytest.mark.parametrize(("secret", "text", "shown"), [case[1:] for case in KNOWN], ids=[case[0] for case in KNOWN])
def test_known_value(secret: str, text: str, shown: str) -> None:
    redactor = Redactor({"X": secret})
    assert redactor.text(text) == shown
    assert redactor.text(shown) == shown


# What colours a word, as terminals get it and as JSON, repr(), shells, `cat -v` and HTML spell it.
COLOURS = [
    "\x1b[31m", "\x1b[38:5:1m", "\x1b[?25l", "\x1b[0 q", "\x1b(B", "\x1b(B\x1b[m", "\x1b#8", "\x1b7", "\x9b31m",
    "\x1bPq\x1b\\", "\x1b]0;title\x07", "\x1b]8;;https://x/\x1b\\", r"\u001b[31m", r"\u001B[38:5:1m", r"\x1b[31m",
    r"\x1B[m", r"\033[1;31m", r"\e[31m", r"\E[31m", "^[[31m", "&#27;[31m", r"\u001b(B\u001b[m", r"\u009b31m",
    r"\x9b31m", r"\u001b]0;t\u0007",
]  # fmt: skip
SPLITS = [*COLOURS, "\r", "\x08", " \r", " \x08", "\r\n", "\\\n", " \\\n", "  \t\n\t ", " │ \n │ ", " ┃\n┃ ", "\n> "]


@pytest.mark.parametrize("escape", [*COLOURS, r"\u003d", r"\u0027", r"\u003c", r"\u003C", r"\075", r"\x3D", r"\a"])
def test_a_known_value_behind_an_escape(escape: str) -> None:
    assert Redactor([SPLIT]).text(f"a{escape}{SPLIT}{escape}b") == f"a{escape}***{escape}b"


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("secret", [SPLIT, r"plain\u001b[canary|x"], ids=["plain", "like-an-escape"])
def test_a_known_value_that_is_split(secret: str, split: str) -> None:
    text = f"x {secret[:5]}{split}{secret[5:9]}{split}{secret[9:]} y"
    shown = Redactor([secret]).text(text)
    assert shown == f"x ***{split}***{split}*** y"


def test_a_known_value_in_overstrike() -> None:
    shown = Redactor([SPLIT]).text("".join(f"{char}\x08{char}" for char in SPLIT))
    assert not re.search(r"[A-Za-z0-9]{2}", shown.replace("\x08", ""))


def test_there_are_enough_cases() -> None:
    names = [case[0] for case in BY_RULE]
    assert len(names) == len(set(names))
    assert len(BY_RULE) + len(KNOWN) >= 60


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["psql", "--password", "a b", "-x"], ["psql", "--password", "***", "-x"]),
        (["rabbitmqctl", "add_user", "u", "p w"], ["rabbitmqctl", "add_user", "u", "***"]),
        (["env", "PASSWORD=it's", "x y"], ["env", "PASSWORD=***", "x y"]),
        (["verdi", "-p", "main", "status"], ["verdi", "-p", "main", "status"]),
        (["sh", "-c", "echo 'a'\nexit 1"], ["sh", "-c", "echo 'a'\nexit 1"]),
    ],
    ids=["option", "verb", "assignment", "plain", "script"],
)
def test_argv(argv: list[str], shown: list[str]) -> None:
    assert Redactor().argv(argv) == shown


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "AIIDA_DB_PASSWORD",
        "dbPassword",
        "MQ_PASS",
        "DB_PWD",
        "apiKey",
        "X-Auth-Token",
        "SECRET_1",
        "CONVEX_DEPLOY_KEY",
        "CONVEX_SELF_HOSTED_ADMIN_KEY",
        "SOME_KEY_2",
        "adminKey",
        "PASS",
        "dbpass",
        "passwords",
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "PWD",
        "PATH",
        "PASSWORD_FILE",
        "TOKEN_URL",
        "MAX_TOKENS",
        "COMPASS",
        "KEY",
        "PUBLIC_KEY",
        "SSH_HOST_ED25519_KEY",
        "GPG_KEY",
        "primaryKey",
        "routing_key",
        "SSH_KEY_FINGERPRINT",
        "bypass",
        "MONKEY",
    ],
)
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_of_an_environment() -> None:
    environment = {
        "AIIDA_DB_PASSWORD": "hunter2hunter2",
        "AIIDA_PROFILE": "vm",
        "BROKER_URL": "amqp://guest:pa%40ss@h/",
        "SSH_KEY": "/home/me/.ssh/id_ed25519",
        "EMPTY_TOKEN": "",
        "PWD": "/srv",
        "DEPLOY_KEY": "prod:fox|abc",
        "DEPLOY_PUBLIC_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ",
        "FEATURE_TOKEN": "disabled",
    }
    assert sorted(secrets_of(environment)) == [
        ("AIIDA_DB_PASSWORD", "hunter2hunter2"),
        ("BROKER_URL", "pa%40ss"),
        ("BROKER_URL", "pa@ss"),
        ("DEPLOY_KEY", "prod:fox|abc"),
    ]


def test_a_secret_that_is_a_name_is_reported() -> None:
    secrets = [("DB_PASSWORD", "aiida_vm"), ("MQ_PASSWORD", "other-one")]
    assert secrets_that_are_names(secrets, {"AIIDA_PROFILE": "aiida_vm"}) == {"DB_PASSWORD": "AIIDA_PROFILE"}


def test_recorded_tool_output_passes_unchanged() -> None:
    """What the checks read is not a secret: only the password of a broker URL is masked in the recorded outputs."""
    read = 0
    for path in sorted(PARSER_CASES.rglob("*.txt")):
        text = path.read_bytes().decode("utf-8", "replace")
        masked = Redactor().text(text)
        expected = text.replace("guest:guest@", "guest:***@")
        assert masked == expected, path
        read += 1
    assert read >= 100


# Text that rules are made of, so that they meet each other.
FRAGMENTS = st.sampled_from(
    [
        "password", "TOKEN", "secret_key", "--db-password", "=", ": ", ":", " ", "  ", "\n", "\r\n", "'", '"', "\\",
        "`", "://", "u:", "@", "***", "{", "}", ",", "&", "?", "|", "> ", "\x1b[0m", "Bearer ", "Authorization",
        "add_user ", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "abcd1234", "PASSWORD '",
        "hunter2hunter2", "%40", "%3A%2F%2F", "-p", "curl -u ", "null", "/etc/x.pem", "İ", "ß", "\x00", "\ud800",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=14).map("".join))
SECRETS = st.lists(st.one_of(st.text(max_size=20), FRAGMENTS), max_size=3)


@pytest.mark.slow
@given(TEXTS, SECRETS)
def test_never_raises_and_is_idempotent(text: str, secrets: list[str]) -> None:
    redactor = Redactor(secrets)
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(st.text(alphabet="abcdefgXYZ0189$&+/=?#%'\"\\ <>", min_size=8, max_size=30), TEXTS, TEXTS)
def test_a_known_secret_as_a_token_never_remains(secret: str, before: str, after: str) -> None:
    if not secret.strip() or len(secret.strip()) < 8:
        return
    shown = Redactor([secret]).text(f"{before} {secret} {after}")
    assert f" {secret} " not in shown


@given(st.text(alphabet="abcXYZ0189$&+/=?#%@:.,-_", min_size=1, max_size=30))
def test_a_value_never_remains_by_its_name(value: str) -> None:
    if value.strip(",") in ("", "null"):
        return
    marked = f"q{value}7q"
    for text in (
        f"DB_PASSWORD={marked} x",
        f"broker_password: {marked}",
        f'{{"token": "{marked}"}}',
        f"--password {marked} x",
    ):
        assert marked not in Redactor().text(text)


@given(st.lists(TEXTS, max_size=5))
def test_argv_never_raises_and_keeps_the_number_of_words(argv: list[str]) -> None:
    assert len(Redactor().argv(argv)) == len(argv)


# Texts of about a megabyte that a rule could read again and again, each as a start, what is repeated, and how often.
HOSTILE: list[tuple[str, str, int]] = [
    ("", "a", 2_000_000),
    ("", "password", 250_000),
    ("", 'password="', 200_000),
    ("", "://a:b", 300_000),
    ("://", "a:", 1_000_000),
    ("", "-----BEGIN PRIVATE KEY-----\n", 70_000),
    ("", "\x1b[0m", 500_000),
    ("", "DB_PASSWORD=hunter2 x\n", 90_000),
    ("", "Tr\n", 700_000),
    ("", " ", 1_000_000),
    ("", " \n", 500_000),
    ("T", " " * 80 + "\n", 12_000),
    ("", " | |", 250_000),
    ("", r"\u001b]", 150_000),
    ("", "^[]", 330_000),
    ("", "\x1b]", 500_000),
    ("", "\x9b", 1_000_000),
    ("", "\x90", 1_000_000),
    ("\x1b[", "1", 1_000_000),
    ("", "T\x08", 500_000),
    ("", "passwords: [", 80_000),
    ("passwords: [", "'a', ", 200_000),
    ("", "value: 'a ", 100_000),
    ("", "name: ", 160_000),
    ("", "PASSWORD='a\n", 90_000),
    ("", "pass: ", 160_000),
    ("a_key: ", "word ", 200_000),
    ("", "https://", 120_000),
    ("https://", "a", 1_000_000),
]


@pytest.mark.parametrize("share", [100, pytest.param(1, marks=pytest.mark.nightly)], ids=["part", "all"])
@pytest.mark.parametrize(("start", "piece", "times"), HOSTILE, ids=[repr((row[0] + row[1])[:14]) for row in HOSTILE])
def test_hostile_texts_are_redacted(start: str, piece: str, times: int, share: int) -> None:
    """That it takes no longer than their length is measured by benchmarks/linear.py."""
    redactor = Redactor({"X": SPLIT})
    once = redactor.text(start + piece * (times // share) + f" {SPLIT} ")
    assert f" {SPLIT} " not in once


def test_the_mask_says_nothing_about_the_value() -> None:
    assert {Redactor().text(f"PASSWORD={value}") for value in ("a", "b" * 50)} == {f"PASSWORD={MASK}"}
