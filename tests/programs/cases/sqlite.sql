-- SPDX-License-Identifier: MIT
-- Workload: parse, plan, sort, page cache; every result is compared.
PRAGMA journal_mode=WAL;
PRAGMA synchronous=OFF;
PRAGMA cache_size=-16000;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, kind INT, price REAL, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
INSERT INTO item SELECT i, printf('item-%06d', (i * 7919) % 120011), i % 97, (i * 31 % 10007) / 7.0, hex(zeroblob(i % 40)) FROM n;
COMMIT;
CREATE INDEX by_name ON item(name);
CREATE INDEX by_kind ON item(kind, price DESC);
CREATE TABLE kind(id INTEGER PRIMARY KEY, label TEXT);
INSERT INTO kind SELECT DISTINCT kind, 'kind ' || kind FROM item;
SELECT label, count(*), round(sum(price), 3), max(name) FROM item JOIN kind ON kind.id = item.kind GROUP BY label ORDER BY 3 DESC LIMIT 10;
SELECT kind, id, rank FROM (SELECT kind, id, rank() OVER (PARTITION BY kind ORDER BY price DESC, id) AS rank FROM item) WHERE rank <= 2 AND kind < 5 ORDER BY 1, 3;
SELECT count(*) FROM item a JOIN item b ON a.name = b.name AND a.id <> b.id;
CREATE VIRTUAL TABLE doc USING fts5(body);
INSERT INTO doc SELECT 'text of ' || name || ' costs ' || CAST(price AS INT) || ' in kind ' || kind FROM item WHERE id <= 30000;
SELECT count(*) FROM doc WHERE doc MATCH 'kind AND 42';
SELECT body FROM doc WHERE doc MATCH 'costs NEAR kind' ORDER BY rowid LIMIT 3;
SELECT json_group_array(json_object('id', id, 'name', name)) FROM (SELECT id, name FROM item WHERE id % 20011 = 0);
SELECT length(group_concat(name, ',')), sum(instr(note, '00')) FROM item;
WITH RECURSIVE t(x, s) AS (SELECT 1, '1' UNION ALL SELECT x + 1, substr(s || ',' || (x * x), -5000) FROM t WHERE x < 4000) SELECT length(s) FROM t WHERE x = 4000;
UPDATE item SET note = note || note || 'changed' WHERE kind % 3 = 0;
DELETE FROM item WHERE kind % 5 = 1;
REINDEX;
VACUUM;
PRAGMA integrity_check;
SELECT count(*), sum(length(note)) FROM item;
