-- Operators look for people by the beginning of an address: where there are a million, each was looked at.
SET LOCAL ROLE weir_owner;

CREATE INDEX person_email_beginning ON person (email text_pattern_ops);

RESET ROLE;
