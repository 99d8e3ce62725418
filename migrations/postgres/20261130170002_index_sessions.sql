-- Whether a person has ever signed in is asked at each sign-in, of sessions that have ended, too.
SET LOCAL ROLE weir_owner;

CREATE INDEX session_of_person ON session (person_id);

RESET ROLE;
