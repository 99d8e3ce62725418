-- A token counts as what its maker was when it was made, and as nothing else later on.
SET LOCAL ROLE weir_owner;

ALTER TABLE machine_token
    ADD COLUMN capacity text NOT NULL DEFAULT 'member' CHECK (capacity IN ('member', 'platform')),
    ADD COLUMN membership_id uuid,
    ADD CHECK (membership_id IS NULL OR capacity = 'member');
ALTER TABLE machine_token ALTER COLUMN capacity DROP DEFAULT;
COMMENT ON COLUMN machine_token.capacity IS 'what its maker was; of a token that a token made, that one''s maker';
COMMENT ON COLUMN machine_token.membership_id IS 'of a member; NULL: made before this was noted, by some membership';
-- The operator's own token never was a member.
UPDATE machine_token SET capacity = 'platform' WHERE created_by = 'operator';

RESET ROLE;
