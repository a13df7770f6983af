-- Makes a schema that is a clone of another: tables, defaults, identity columns with their
-- sequences, constraints, indexes and foreign keys under their own names, and all rows.
DO $clone$
DECLARE
	source CONSTANT text := 'FROM';
	target CONSTANT text := 'TO';
	r record;
	top bigint;
BEGIN
	EXECUTE format('CREATE SCHEMA %I', target);
	FOR r IN
		SELECT c.relname FROM pg_catalog.pg_class c
		WHERE c.relnamespace = source::regnamespace AND c.relkind = 'r' ORDER BY c.relname
	LOOP
		EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING GENERATED INCLUDING STORAGE)',
			target, r.relname, source, r.relname);
		EXECUTE format('INSERT INTO %I.%I OVERRIDING SYSTEM VALUE SELECT * FROM %I.%I', target, r.relname, source, r.relname);
	END LOOP;

	-- What the catalog prints names the source in full where no search_path reaches it.
	PERFORM set_config('search_path', 'pg_catalog', true);
	-- Keys before the foreign keys that refer to them; NOT NULL came with the columns.
	FOR r IN
		SELECT t.relname, k.conname, k.contype, pg_get_constraintdef(k.oid) AS def
		FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
		WHERE k.connamespace = source::regnamespace AND t.relkind = 'r' AND k.contype IN ('c', 'p', 'u', 'x', 'f')
		ORDER BY k.contype = 'f', t.relname, k.conname
	LOOP
		EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT %I ', target, r.relname, r.conname)
			|| replace(r.def, format(' REFERENCES %I.', source), format(' REFERENCES %I.', target));
	END LOOP;
	FOR r IN
		SELECT pg_get_indexdef(i.indexrelid) AS def
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = source::regnamespace
			AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
		ORDER BY c.relname
	LOOP
		EXECUTE replace(r.def, format(' ON %I.', source), format(' ON %I.', target));
	END LOOP;

	-- LIKE gives an identity column a sequence of bigint, whatever the source's is of.
	FOR r IN
		SELECT t.relname, a.attname, format_type(s.seqtypid, NULL) AS kind,
			pg_get_serial_sequence(format('%I.%I', target, t.relname), a.attname) AS sequence
		FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
			JOIN pg_sequence s ON s.seqrelid = pg_get_serial_sequence(format('%I.%I', source, t.relname), a.attname)::regclass
		WHERE t.relnamespace = source::regnamespace AND t.relkind = 'r' AND a.attidentity <> '' AND NOT a.attisdropped
	LOOP
		EXECUTE format('ALTER SEQUENCE %s AS %s', r.sequence, r.kind);
		EXECUTE format('SELECT max(%I) FROM %I.%I', r.attname, target, r.relname) INTO top;
		IF top IS NOT NULL THEN
			PERFORM setval(r.sequence, top);
		END IF;
	END LOOP;
END
$clone$
