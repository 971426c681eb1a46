"""The floor's statements: one per request, the platform's own rows of users, and an outbox as plain as it gets."""

_USER = """
SELECT u.id, u.email, u.username, u.full_name, u.is_active, u.email_verified, u.last_login_at, u.created_at,
  u.updated_at, COALESCE((SELECT array_agg(r.name ORDER BY r.name) FROM user_management.user_roles ur
    JOIN user_management.roles r ON r.id = ur.role_id WHERE ur.user_id = u.id AND r.deleted_at IS NULL), '{}') AS roles
FROM user_management.users u WHERE u.deleted_at IS NULL
"""

GET_USER = _USER + " AND u.id = %(id)s"

LIST_USERS = _USER + " AND u.id < %(after)s ORDER BY u.id DESC LIMIT %(limit)s"

UPDATE_ME = """
WITH changed AS (
  UPDATE user_management.users SET full_name = %(full_name)s, version = version + 1, updated_at = now()
  WHERE id = %(id)s AND deleted_at IS NULL
  RETURNING id, email, username, full_name, is_active, email_verified, last_login_at, created_at, updated_at, locale,
    timezone, phone_number, avatar_url
), noted AS (
  INSERT INTO floor.outbox (name, payload)
  SELECT 'user_renamed', jsonb_build_object('user_id', id, 'full_name', full_name) FROM changed
)
SELECT c.*, COALESCE((SELECT array_agg(r.name ORDER BY r.name) FROM user_management.user_roles ur
    JOIN user_management.roles r ON r.id = ur.role_id WHERE ur.user_id = c.id AND r.deleted_at IS NULL), '{}') AS roles
FROM changed c
"""

INVITE = """
WITH made AS (
  INSERT INTO user_management.users
    (id, version, created_at, updated_at, email, username, full_name, is_active, email_verified)
  VALUES (%(id)s, 1, now(), now(), %(email)s, %(username)s, %(full_name)s, true, false)
  RETURNING id, email, username, full_name, is_active, email_verified, last_login_at, created_at, updated_at
), belonging AS (
  INSERT INTO user_management.user_roles (user_id, role_id)
  SELECT made.id, r.id FROM made, user_management.roles r WHERE r.name = 'member' AND r.deleted_at IS NULL
), linked AS (
  INSERT INTO user_management.mailed_links (id, user_id, purpose, email, created_at, expires_at)
  SELECT %(link_id)s, id, 'invitation', email, now(), now() + interval '7 days' FROM made
), noted AS (
  INSERT INTO floor.outbox (name, payload) SELECT 'user_invited', jsonb_build_object('user_id', id) FROM made
)
SELECT *, ARRAY['member'] AS roles FROM made
"""

_TASK = """
SELECT t.id, t.project_id, t.title, t.description, t.status, t.priority, t.assignee_id, t.due_date, t.estimated_minutes,
  COALESCE((SELECT sum(e.minutes) FROM project_management.time_entries e WHERE e.task_id = t.id), 0) AS spent_minutes,
  t.parent_id, t.version, t.created_by, t.created_at, t.updated_at, t.completed_at
FROM project_management.tasks t JOIN project_management.project_members m
  ON m.project_id = t.project_id AND m.user_id = %(caller)s WHERE t.deleted_at IS NULL
"""

GET_TASK = _TASK + " AND t.id = %(id)s"

LIST_TASKS = _TASK + " AND t.project_id = %(id)s AND t.id < %(after)s ORDER BY t.id DESC LIMIT %(limit)s"

ADD_TASK = """
WITH made AS (
  INSERT INTO project_management.tasks
    (id, version, created_at, updated_at, project_id, title, status, priority, assignee_id, created_by)
  SELECT %(id)s, 1, now(), now(), m.project_id, %(title)s, 'todo', 'medium', a.user_id, m.user_id
  FROM project_management.project_members m JOIN project_management.project_members a
    ON a.project_id = m.project_id AND a.user_id = %(assignee_id)s
  WHERE m.project_id = %(project_id)s AND m.user_id = %(caller)s AND m.role <> 'viewer'
  RETURNING id, project_id, title, description, status, priority, assignee_id, due_date, estimated_minutes,
    0 AS spent_minutes, parent_id, version, created_by, created_at, updated_at, completed_at
), noted AS (
  INSERT INTO floor.outbox (name, payload)
  SELECT 'task_assigned', jsonb_build_object('task_id', id, 'assignee_id', assignee_id) FROM made
)
SELECT * FROM made
"""

ADD_FILE = """
INSERT INTO floor.files (id, name, size, checksum, uploaded_by)
VALUES (%(id)s, %(name)s, %(size)s, %(checksum)s, %(caller)s) RETURNING id, name, size, checksum, created_at
"""

FIND_LOGIN = """
SELECT id, password_hash FROM user_management.users
WHERE lower(email) = lower(%(email)s) AND deleted_at IS NULL AND is_active
"""

OPEN_SESSION = """
WITH opened AS (
  INSERT INTO user_management.user_sessions (id, user_id, created_at, last_seen_at, expires_at)
  VALUES (%(id)s, %(user_id)s, now(), now(), now() + interval '7 days') RETURNING id
), chained AS (
  INSERT INTO user_management.refresh_tokens (hash, session_id, created_at) SELECT %(hash)s, id, now() FROM opened
)
UPDATE user_management.users SET last_login_at = now() WHERE id = %(user_id)s RETURNING id
"""

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS floor;
CREATE TABLE floor.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
  payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE floor.jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL,
  payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE floor.files (id uuid PRIMARY KEY, name text NOT NULL, size bigint NOT NULL, checksum text NOT NULL,
  uploaded_by uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE floor.effects (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), job_id bigint NOT NULL,
  written_at timestamptz NOT NULL DEFAULT clock_timestamp());
"""
