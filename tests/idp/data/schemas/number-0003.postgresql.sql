CREATE TABLE domain (
	name VARCHAR(253) NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE accounts (
	email VARCHAR(254) NOT NULL,
	password VARCHAR NOT NULL,
	created BIGINT NOT NULL,
	changed BIGINT NOT NULL,
	PRIMARY KEY (email)
);
CREATE TABLE failures (
	id BIGSERIAL NOT NULL,
	email VARCHAR NOT NULL,
	network VARCHAR NOT NULL,
	time BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX failures_email ON failures (email, time);
CREATE INDEX failures_network ON failures (network, time);
CREATE INDEX failures_time ON failures (time);
CREATE TABLE server_secret (
	id BIGSERIAL NOT NULL,
	value VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE answered_challenges (
	nonce VARCHAR NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (nonce)
);
CREATE INDEX ix_answered_challenges_expires ON answered_challenges (expires);
CREATE TABLE revocations (
	id BIGSERIAL NOT NULL,
	key VARCHAR NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (key)
);
CREATE INDEX ix_revocations_until ON revocations (until);
CREATE TABLE certified (
	id BIGSERIAL NOT NULL,
	email VARCHAR NOT NULL,
	key VARCHAR NOT NULL,
	token VARCHAR NOT NULL,
	created BIGINT NOT NULL,
	last BIGINT NOT NULL,
	certificate BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	revoked BIGINT NOT NULL,
	public_key VARCHAR NOT NULL,
	machine VARCHAR NOT NULL,
	client VARCHAR NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (key)
);
CREATE INDEX ix_certified_email ON certified (email);
CREATE INDEX ix_certified_token ON certified (token);
CREATE TABLE devices (
	id BIGSERIAL NOT NULL,
	code VARCHAR NOT NULL,
	secret VARCHAR NOT NULL,
	network VARCHAR NOT NULL,
	begun BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	polled BIGINT NOT NULL,
	interval BIGINT NOT NULL,
	state VARCHAR NOT NULL,
	renewal BIGINT NOT NULL,
	email VARCHAR NOT NULL,
	public_key VARCHAR NOT NULL,
	machine VARCHAR NOT NULL,
	client VARCHAR NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (secret)
);
CREATE INDEX ix_devices_code ON devices (code);
CREATE INDEX ix_devices_expires ON devices (expires);
CREATE INDEX ix_devices_network ON devices (network);
CREATE TABLE wrong_codes (
	id BIGSERIAL NOT NULL,
	email VARCHAR NOT NULL,
	time BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX ix_wrong_codes_email ON wrong_codes (email);
CREATE INDEX ix_wrong_codes_time ON wrong_codes (time);
CREATE TABLE rp_id (
	id BIGSERIAL NOT NULL,
	name VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE signing_keys (
	name VARCHAR NOT NULL,
	sealed VARCHAR NOT NULL,
	signs_from BIGINT NOT NULL,
	published_until BIGINT,
	PRIMARY KEY (name)
);
CREATE TABLE page_sessions (
	id BIGSERIAL NOT NULL,
	token VARCHAR NOT NULL,
	kind VARCHAR NOT NULL,
	email VARCHAR NOT NULL,
	method VARCHAR NOT NULL,
	client VARCHAR NOT NULL,
	agent VARCHAR NOT NULL,
	created BIGINT NOT NULL,
	used BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (token)
);
CREATE INDEX page_sessions_email ON page_sessions (email);
CREATE TABLE codes (
	code VARCHAR NOT NULL,
	email VARCHAR(254) NOT NULL,
	challenge VARCHAR NOT NULL,
	renewal BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	spent BIGINT NOT NULL,
	public_key VARCHAR NOT NULL,
	machine VARCHAR NOT NULL,
	client VARCHAR NOT NULL,
	PRIMARY KEY (code),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE INDEX ix_codes_email ON codes (email);
CREATE INDEX ix_codes_expires ON codes (expires);
CREATE TABLE invitations (
	email VARCHAR(254) NOT NULL,
	digest VARCHAR NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE,
	UNIQUE (digest)
);
CREATE TABLE passkeys (
	id BIGSERIAL NOT NULL,
	credential VARCHAR NOT NULL,
	email VARCHAR(254) NOT NULL,
	public_key VARCHAR NOT NULL,
	rp_id VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	counter BIGINT NOT NULL,
	eligible BIGINT NOT NULL,
	backed_up BIGINT NOT NULL,
	created BIGINT NOT NULL,
	used BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (credential),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE INDEX ix_passkeys_email ON passkeys (email);
CREATE TABLE user_handles (
	email VARCHAR(254) NOT NULL,
	handle VARCHAR NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE recovery_codes (
	digest VARCHAR NOT NULL,
	email VARCHAR(254) NOT NULL,
	PRIMARY KEY (digest),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE INDEX ix_recovery_codes_email ON recovery_codes (email);
CREATE TABLE second_factors (
	email VARCHAR(254) NOT NULL,
	secret VARCHAR NOT NULL,
	step BIGINT NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE new_second_factors (
	email VARCHAR(254) NOT NULL,
	secret VARCHAR NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
