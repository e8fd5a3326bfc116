CREATE TABLE accounts (
	email VARCHAR(254) NOT NULL,
	password VARCHAR NOT NULL,
	created BIGINT NOT NULL,
	changed BIGINT NOT NULL,
	PRIMARY KEY (email)
);
CREATE TABLE answered_challenges (
	nonce VARCHAR NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (nonce)
);
CREATE INDEX ix_answered_challenges_expires ON answered_challenges (expires);
CREATE TABLE audit (
	id BIGSERIAL NOT NULL,
	time BIGINT NOT NULL,
	event VARCHAR NOT NULL,
	email VARCHAR NOT NULL,
	client VARCHAR NOT NULL,
	host VARCHAR NOT NULL,
	details VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX audit_client ON audit (client, time, id);
CREATE INDEX audit_email ON audit (email, time, id);
CREATE INDEX audit_event ON audit (event, time, id);
CREATE INDEX audit_time ON audit (time, id);
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
CREATE INDEX certified_ends ON certified (expires, certificate);
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
CREATE TABLE domain (
	name VARCHAR(253) NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (name)
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
CREATE TABLE mail_blocks (
	email VARCHAR NOT NULL,
	reason VARCHAR NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (email)
);
CREATE TABLE mailed_codes (
	id BIGSERIAL NOT NULL,
	email VARCHAR NOT NULL,
	browser VARCHAR NOT NULL,
	code VARCHAR NOT NULL,
	link VARCHAR NOT NULL,
	goal VARCHAR NOT NULL,
	client VARCHAR NOT NULL,
	begun BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	tries BIGINT NOT NULL,
	state VARCHAR NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (link)
);
CREATE INDEX ix_mailed_codes_browser ON mailed_codes (browser);
CREATE INDEX ix_mailed_codes_email ON mailed_codes (email);
CREATE INDEX ix_mailed_codes_expires ON mailed_codes (expires);
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
CREATE INDEX page_sessions_created ON page_sessions (created);
CREATE INDEX page_sessions_email ON page_sessions (email);
CREATE INDEX page_sessions_used ON page_sessions (used);
CREATE TABLE revocations (
	id BIGSERIAL NOT NULL,
	key VARCHAR NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (key)
);
CREATE INDEX ix_revocations_until ON revocations (until);
CREATE TABLE rp_id (
	id BIGSERIAL NOT NULL,
	name VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE sent_mails (
	id BIGSERIAL NOT NULL,
	email VARCHAR NOT NULL,
	counted VARCHAR NOT NULL,
	network VARCHAR NOT NULL,
	bounce VARCHAR NOT NULL,
	sent BIGINT NOT NULL,
	time BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (bounce)
);
CREATE INDEX ix_sent_mails_counted ON sent_mails (counted);
CREATE INDEX ix_sent_mails_network ON sent_mails (network);
CREATE INDEX ix_sent_mails_time ON sent_mails (time);
CREATE TABLE server_secret (
	id BIGSERIAL NOT NULL,
	value VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE signing_keys (
	name VARCHAR NOT NULL,
	sealed VARCHAR NOT NULL,
	signs_from BIGINT NOT NULL,
	published_until BIGINT,
	PRIMARY KEY (name)
);
CREATE TABLE wrong_codes (
	id BIGSERIAL NOT NULL,
	email VARCHAR NOT NULL,
	time BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX ix_wrong_codes_email ON wrong_codes (email);
CREATE INDEX ix_wrong_codes_time ON wrong_codes (time);
CREATE TABLE administering_sessions (
	session BIGINT NOT NULL,
	used BIGINT NOT NULL,
	PRIMARY KEY (session),
	FOREIGN KEY(session) REFERENCES page_sessions (id) ON DELETE CASCADE
);
CREATE TABLE administrators (
	email VARCHAR(254) NOT NULL,
	since BIGINT NOT NULL,
	by VARCHAR NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
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
CREATE TABLE new_second_factors (
	email VARCHAR(254) NOT NULL,
	secret VARCHAR NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE outside_identities (
	email VARCHAR(254) NOT NULL,
	backend VARCHAR NOT NULL,
	subject VARCHAR NOT NULL,
	version VARCHAR NOT NULL,
	claims VARCHAR NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
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
CREATE TABLE upstream_tokens (
	email VARCHAR(254) NOT NULL,
	token VARCHAR NOT NULL,
	since BIGINT NOT NULL,
	turn VARCHAR NOT NULL,
	turn_ends BIGINT NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE user_handles (
	email VARCHAR(254) NOT NULL,
	handle VARCHAR NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
