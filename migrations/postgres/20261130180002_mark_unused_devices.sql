-- Who sets a password by a mail's link has a device that is known, and has not signed in on it yet.
SET LOCAL ROLE weir_owner;

ALTER TABLE known_device ADD COLUMN is_unused boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN known_device.is_unused IS 'nobody has signed in on it: the first who does makes a mail';

RESET ROLE;
