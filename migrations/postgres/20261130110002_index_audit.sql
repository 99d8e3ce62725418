-- The audit is asked by who, what and when. Each entry has a number in its chain, by which pages are cut.
SET LOCAL ROLE weir_owner;

CREATE INDEX ON audit_entry (chain, actor, seq);
CREATE INDEX ON audit_entry (chain, action, seq);
CREATE INDEX ON audit_entry (chain, target, seq);
CREATE INDEX ON audit_entry (chain, at);

RESET ROLE;
