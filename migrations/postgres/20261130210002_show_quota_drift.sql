-- What is granted of a quota is what was stored and what nodes hold. Where it would be less than nothing the books are
-- wrong: a figure that was held at nothing hid that from the proof.
SET LOCAL ROLE weir_owner;

ALTER TABLE quota_period DROP CONSTRAINT quota_period_granted_check;
COMMENT ON COLUMN quota_period.granted IS 'events stored or held by nodes; never raised above the cap';

RESET ROLE;
