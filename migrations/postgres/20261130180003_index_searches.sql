-- Operators look for tenants by the beginning of a name: where there are 100,000, each was looked at.
SET LOCAL ROLE weir_owner;

CREATE INDEX tenant_name_beginning ON tenant (name text_pattern_ops);
CREATE INDEX tenant_profile_title_beginning ON tenant_profile (lower(title) text_pattern_ops);

RESET ROLE;
