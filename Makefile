# Short names for the commands used most; each target is one line of what it stands for.
.PHONY: migrate rollback seed db-reset test dev

migrate:   ## bring every module's schema to its newest revision
	uv run alembic upgrade head

rollback:  ## take back the latest revision over all modules
	uv run alembic downgrade -1

seed:      ## essential and development data
	uv run platform seed --env development

db-reset:  ## every module down to nothing, up again, seeded
	uv run platform db downgrade base --yes
	uv run platform db upgrade
	uv run platform seed --env development

test:      ## lint, types, architecture, security, docs, tests
	uv run nox

dev:       ## the whole platform on this machine
	uv run platform dev
