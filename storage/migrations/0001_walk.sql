-- The rows of the first sign-in. One text for SQLite and PostgreSQL: TEXT,
-- BIGINT, BOOLEAN and BYTEA only; times are microseconds since 1970 in UTC, 0
-- for never; a name that is not there is ''.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO meta (key, value) VALUES ('epoch', '1');

CREATE TABLE front (
    id         TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL UNIQUE,
    rp_id      TEXT NOT NULL,
    org_id     TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL
);

CREATE TABLE account (
    id                  TEXT PRIMARY KEY,
    login               TEXT NOT NULL,
    login_key           TEXT NOT NULL UNIQUE,
    given_name          TEXT NOT NULL DEFAULT '',
    family_name         TEXT NOT NULL DEFAULT '',
    language            TEXT NOT NULL DEFAULT '',
    managing_org        TEXT NOT NULL DEFAULT '',
    administrator       BOOLEAN NOT NULL DEFAULT FALSE,
    login_verified      BOOLEAN NOT NULL DEFAULT FALSE,
    lock_threshold      BIGINT NOT NULL DEFAULT 0,
    password            BYTEA,
    password_changed_at BIGINT NOT NULL DEFAULT 0,
    disabled_at         BIGINT NOT NULL DEFAULT 0,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL
);
CREATE INDEX account_by_time ON account (created_at, id);
CREATE INDEX account_administrators ON account (id) WHERE administrator;

CREATE TABLE client (
    id               TEXT PRIMARY KEY,
    front_id         TEXT NOT NULL REFERENCES front (id),
    org_id           TEXT NOT NULL DEFAULT '',
    name             TEXT NOT NULL,
    kind             TEXT NOT NULL,
    auth             TEXT NOT NULL,
    secret_hash      BYTEA,
    redirect_uris    TEXT NOT NULL,
    post_logout_uris TEXT NOT NULL,
    scopes           TEXT NOT NULL,
    grant_types      TEXT NOT NULL,
    first_party      BOOLEAN NOT NULL DEFAULT FALSE,
    pkce_optional    BOOLEAN NOT NULL DEFAULT FALSE,
    id_token_alg     TEXT NOT NULL,
    home_url         TEXT NOT NULL DEFAULT '',
    disabled_at      BIGINT NOT NULL DEFAULT 0,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);
CREATE INDEX client_by_time ON client (created_at, id);

-- Origins whose scripts may call the token endpoint, one row each.
CREATE TABLE client_origin (
    client_id TEXT NOT NULL REFERENCES client (id) ON DELETE CASCADE,
    origin    TEXT NOT NULL,
    PRIMARY KEY (client_id, origin)
);
CREATE INDEX client_origin_by_origin ON client_origin (origin);

CREATE TABLE signin (
    id             TEXT PRIMARY KEY,
    front_id       TEXT NOT NULL REFERENCES front (id),
    browser_hash   BYTEA NOT NULL,
    purpose        TEXT NOT NULL,
    client_id      TEXT NOT NULL DEFAULT '',
    request        TEXT NOT NULL,
    login          TEXT NOT NULL DEFAULT '',
    login_key      TEXT NOT NULL DEFAULT '',
    account_id     TEXT NOT NULL DEFAULT '',
    session_id     TEXT NOT NULL DEFAULT '',
    managing_org   TEXT NOT NULL DEFAULT '',
    via_connection TEXT NOT NULL DEFAULT '',
    methods        TEXT NOT NULL DEFAULT '',
    auth_at        BIGINT NOT NULL DEFAULT 0,
    consented      BOOLEAN NOT NULL DEFAULT FALSE,
    refusal        TEXT NOT NULL DEFAULT '',
    seed           BYTEA NOT NULL,
    epoch          BIGINT NOT NULL,
    network        TEXT NOT NULL DEFAULT '',
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    closed_at      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX signin_by_browser ON signin (browser_hash, created_at);
CREATE INDEX signin_by_network ON signin (network, created_at);
CREATE INDEX signin_by_expiry ON signin (expires_at);

-- "set" is what one session cookie opens: one row per account in it.
CREATE TABLE session (
    id             TEXT PRIMARY KEY,
    front_id       TEXT NOT NULL REFERENCES front (id),
    set_hash       BYTEA NOT NULL,
    browser_hash   BYTEA NOT NULL,
    account_id     TEXT NOT NULL REFERENCES account (id),
    managing_org   TEXT NOT NULL DEFAULT '',
    via_connection TEXT NOT NULL DEFAULT '',
    methods        TEXT NOT NULL,
    acr            TEXT NOT NULL,
    auth_at        BIGINT NOT NULL,
    browser        TEXT NOT NULL DEFAULT '',
    network        TEXT NOT NULL DEFAULT '',
    epoch          BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX session_by_set ON session (set_hash);
CREATE INDEX session_by_browser ON session (browser_hash);
CREATE INDEX session_by_account ON session (account_id, created_at);
CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE device (
    id         TEXT PRIMARY KEY,
    hash       BYTEA NOT NULL,
    account_id TEXT NOT NULL REFERENCES account (id),
    front_id   TEXT NOT NULL REFERENCES front (id),
    browser    TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    UNIQUE (hash, account_id, front_id)
);
CREATE INDEX device_by_account ON device (account_id, seen_at);
CREATE INDEX device_by_expiry ON device (expires_at);

-- Counting lanes. subject is an account id, or a keyed digest of an address that
-- belongs to nobody; lane is 'unknown', 'total' or a device id.
CREATE TABLE lane (
    subject      TEXT NOT NULL,
    lane         TEXT NOT NULL,
    failures     BIGINT NOT NULL DEFAULT 0,
    locks        BIGINT NOT NULL DEFAULT 0,
    locked_until BIGINT NOT NULL DEFAULT 0,
    touched_at   BIGINT NOT NULL,
    PRIMARY KEY (subject, lane)
);
CREATE INDEX lane_by_touch ON lane (touched_at);

CREATE TABLE consent (
    account_id TEXT NOT NULL REFERENCES account (id),
    client_id  TEXT NOT NULL REFERENCES client (id) ON DELETE CASCADE,
    scopes     TEXT NOT NULL,
    given_at   BIGINT NOT NULL,
    PRIMARY KEY (account_id, client_id)
);

CREATE TABLE code (
    hash           BYTEA PRIMARY KEY,
    grant_id       TEXT NOT NULL,
    front_id       TEXT NOT NULL,
    account_id     TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    managing_org   TEXT NOT NULL DEFAULT '',
    via_connection TEXT NOT NULL DEFAULT '',
    scopes         TEXT NOT NULL,
    methods        TEXT NOT NULL,
    acr            TEXT NOT NULL,
    auth_at        BIGINT NOT NULL,
    nonce          TEXT NOT NULL DEFAULT '',
    epoch          BIGINT NOT NULL,
    redirect_uri   TEXT NOT NULL,
    challenge      TEXT NOT NULL DEFAULT '',
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    spent_at       BIGINT NOT NULL DEFAULT 0,
    forget_at      BIGINT NOT NULL
);
CREATE INDEX code_by_session ON code (session_id);
CREATE INDEX code_by_forget ON code (forget_at);

CREATE TABLE grants (
    id             TEXT PRIMARY KEY,
    front_id       TEXT NOT NULL,
    account_id     TEXT NOT NULL REFERENCES account (id),
    client_id      TEXT NOT NULL REFERENCES client (id) ON DELETE CASCADE,
    session_id     TEXT NOT NULL,
    managing_org   TEXT NOT NULL DEFAULT '',
    via_connection TEXT NOT NULL DEFAULT '',
    scopes         TEXT NOT NULL,
    methods        TEXT NOT NULL,
    acr            TEXT NOT NULL,
    auth_at        BIGINT NOT NULL,
    nonce          TEXT NOT NULL DEFAULT '',
    epoch          BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT NOT NULL DEFAULT 0,
    revoked_at     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX grants_by_session ON grants (session_id);
CREATE INDEX grants_by_account ON grants (account_id, created_at);
CREATE INDEX grants_by_expiry ON grants (expires_at);

CREATE TABLE refresh_token (
    hash       BYTEA PRIMARY KEY,
    grant_id   TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX refresh_token_by_grant ON refresh_token (grant_id);
CREATE INDEX refresh_token_by_expiry ON refresh_token (expires_at);

-- Parameters of a cross-site POST on their way to the GET that may read cookies.
CREATE TABLE handoff (
    hash       BYTEA PRIMARY KEY,
    path       TEXT NOT NULL,
    params     TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX handoff_by_expiry ON handoff (expires_at);

CREATE TABLE setup_link (
    hash       BYTEA PRIMARY KEY,
    emergency  BOOLEAN NOT NULL DEFAULT FALSE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE signing_key (
    id         TEXT PRIMARY KEY,
    alg        TEXT NOT NULL,
    state      TEXT NOT NULL,
    private    BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX signing_key_active ON signing_key (alg) WHERE state = 'active';

CREATE TABLE event (
    id         TEXT PRIMARY KEY,
    at         BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    account_id TEXT NOT NULL DEFAULT '',
    client_id  TEXT NOT NULL DEFAULT '',
    signin_id  TEXT NOT NULL DEFAULT '',
    session_id TEXT NOT NULL DEFAULT '',
    actor      TEXT NOT NULL DEFAULT '',
    address    TEXT NOT NULL DEFAULT '',
    browser    TEXT NOT NULL DEFAULT '',
    request_id TEXT NOT NULL DEFAULT '',
    detail     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX event_by_account ON event (account_id, at, id);
CREATE INDEX event_by_time ON event (at, id);
