-- SPDX-License-Identifier: MIT
-- Workload: pgbench's outcome (each client's seed is fixed, and the updates commute), then executor, planner, PL/pgSQL.
SELECT sum(abalance), count(*) FILTER (WHERE abalance <> 0), md5(string_agg(aid || ':' || abalance, ',' ORDER BY aid)) FROM pgbench_accounts;
SELECT sum(bbalance) = (SELECT sum(delta) FROM pgbench_history) AS branches_agree, (SELECT count(*) FROM pgbench_history) FROM pgbench_branches;
CREATE TABLE item AS SELECT i AS id, md5(i::text) AS name, i % 97 AS kind, (i * 31 % 10007) / 7.0 AS price FROM generate_series(1, 150000) i;
CREATE INDEX ON item(name);
CREATE INDEX ON item(kind, price DESC);
ANALYZE item;
SELECT kind, count(*), round(sum(price), 4), min(name) FROM item GROUP BY kind ORDER BY 3 DESC, 1 LIMIT 10;
SELECT count(*) FROM item a JOIN item b ON substr(a.name, 1, 5) = substr(b.name, 1, 5) WHERE a.id <> b.id;
SELECT md5(string_agg(name, '' ORDER BY price, name)) FROM item;
SELECT id, rank FROM (SELECT id, rank() OVER (PARTITION BY kind ORDER BY price DESC, id) AS rank FROM item) x WHERE rank = 3 ORDER BY 1 LIMIT 5;
SELECT length(jsonb_agg(to_jsonb(item) ORDER BY id)::text) FROM item WHERE id <= 20000;
SELECT count(*), count(DISTINCT m[1]) FROM item, regexp_matches(name, '([a-f]+\d)', 'g') m WHERE id <= 20000;
WITH RECURSIVE t(n, s) AS (SELECT 1, '1'::text UNION ALL SELECT n + 1, right(s || ',' || n * n, 3000) FROM t WHERE n < 3000) SELECT md5(s) FROM t WHERE n = 3000;
DO $$
DECLARE total bigint := 0; words text[] := '{}'; h jsonb := '{}';
BEGIN
	FOR i IN 1..3000 LOOP
		words := words || ('word' || i);
		h := jsonb_set(h, ARRAY['k' || i % 200], to_jsonb(i));
		BEGIN
			IF i % 50 = 0 THEN RAISE EXCEPTION 'rolled back %', i; END IF;
			total := total + length(array_to_string(words[1:20], ','));
		EXCEPTION WHEN OTHERS THEN total := total + 1;
		END;
	END LOOP;
	CREATE TABLE outcome AS SELECT total AS total, md5(h::text) AS h, array_length(words, 1) AS words;
END $$;
SELECT * FROM outcome;
BEGIN;
CREATE TEMP TABLE copied(LIKE item);
INSERT INTO copied SELECT * FROM item WHERE kind < 40;
UPDATE copied SET name = name || name, price = price * 2;
DELETE FROM copied WHERE id % 3 = 0;
SELECT count(*), sum(length(name)), round(sum(price), 3) FROM copied;
COMMIT;
\copy (SELECT * FROM item WHERE id % 1000 = 7 ORDER BY id) TO STDOUT
VACUUM FULL item;
SELECT count(*) FROM item;
