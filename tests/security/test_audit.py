"""Rows 84 and 85: nothing happens without a line in the trail, and nobody takes a line out of it."""

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from attacks import API, MODULES, UNKNOWN, operations

from notification.testing import announce
from orders.testing import running_gateway
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import MailLinks, PasswordResetRequested, UserRegistered
from user_management.testing import PASSWORD, Account, essentials, log_in, sign_up

NEW = "quite another sentence"

ACTIONS: dict[str, str | None] = {
    "POST /api/v1/auth/login": "user_management.log_in",
    "POST /api/v1/auth/logout": "user_management.log_out",
    "POST /api/v1/auth/password-reset": "user_management.request_password_reset",
    "POST /api/v1/auth/password-reset/confirm": "user_management.confirm_password_reset",
    "POST /api/v1/auth/refresh": "user_management.refresh_tokens",
    "DELETE /api/v1/auth/sessions/{session_id}": "user_management.end_session",
    "POST /api/v1/auth/verify-email": "user_management.verify_email",
    "POST /api/v1/auth/verify-email/resend": "user_management.request_email_verification",
    "PATCH /api/v1/comments/{comment_id}": "project_management.rewrite_comment",
    "DELETE /api/v1/comments/{comment_id}": "project_management.delete_comment",
    "POST /api/v1/files/upload": "file_management.upload_file",
    "OPTIONS /api/v1/files/uploads": None,
    "POST /api/v1/files/uploads": "file_management.begin_upload",
    "PATCH /api/v1/files/uploads/{upload_id}": "file_management.continue_upload",
    "DELETE /api/v1/files/uploads/{upload_id}": "file_management.give_up_upload",
    "PATCH /api/v1/files/{file_id}": "file_management.update_file",
    "DELETE /api/v1/files/{file_id}": "file_management.delete_file",
    "PUT /api/v1/files/{file_id}/permissions/{user_id}": "file_management.share_file",
    "DELETE /api/v1/files/{file_id}/permissions/{user_id}": "file_management.unshare_file",
    "POST /api/v1/files/{file_id}/restore": "file_management.restore_file",
    "POST /api/v1/files/{file_id}/versions": "file_management.add_version",
    "POST /api/v1/files/{file_id}/versions/{number}/restore": "file_management.restore_version",
    "POST /api/v1/folders": "file_management.create_folder",
    "PATCH /api/v1/folders/{folder_id}": "file_management.update_folder",
    "DELETE /api/v1/folders/{folder_id}": "file_management.delete_folder",
    "POST /api/v1/notifications/devices": "notification.register_device",
    "DELETE /api/v1/notifications/devices/{device_id}": "notification.remove_device",
    "POST /api/v1/notifications/read-all": "notification.mark_all_read",
    "POST /api/v1/notifications/{notification_id}/read": "notification.mark_read",
    "DELETE /api/v1/notifications/{notification_id}": "notification.delete_notification",
    "PUT /api/v1/notifications/preferences": "notification.set_preferences",
    "POST /api/v1/notifications/templates": "notification.create_template",
    "PUT /api/v1/notifications/templates/{template_id}": "notification.replace_template",
    "DELETE /api/v1/notifications/templates/{template_id}": "notification.delete_template",
    "POST /api/v1/notifications/templates/{template_id}/preview": None,  # shows, and changes nothing
    "POST /api/v1/courses": "courses.create_course",
    "POST /api/v1/orders/purchase": "orders.purchase_course",
    "POST /api/v1/platform/deliveries/{delivery_id}/retry": "platform.retry_delivery",
    "POST /api/v1/platform/sagas/{saga_id}/compensate": "platform.compensate_saga",
    "POST /api/v1/platform/sagas/{saga_id}/retry": "platform.retry_saga",
    "POST /api/v1/platform/sagas/{saga_id}/skip": "platform.skip_saga_step",
    "POST /api/v1/posts": "posts.create_post",
    "PATCH /api/v1/posts/{post_id}": "posts.update_post",
    "DELETE /api/v1/posts/{post_id}": "posts.delete_post",
    "POST /api/v1/posts/{post_id}/comments": "posts.add_comment",
    "POST /api/v1/posts/{post_id}/publish": "posts.publish_post",
    "POST /api/v1/projects": "project_management.create_project",
    "PATCH /api/v1/projects/{project_id}": "project_management.update_project",
    "DELETE /api/v1/projects/{project_id}": "project_management.delete_project",
    "POST /api/v1/projects/{project_id}/expenses": "project_management.record_expense",
    "POST /api/v1/projects/{project_id}/members": "project_management.add_member",
    "PATCH /api/v1/projects/{project_id}/members/{user_id}": "project_management.change_role",
    "DELETE /api/v1/projects/{project_id}/members/{user_id}": "project_management.remove_member",
    "POST /api/v1/projects/{project_id}/milestones": "project_management.set_milestone",
    "POST /api/v1/projects/{project_id}/tasks": "project_management.create_task",
    "POST /api/v1/roles": "user_management.create_role",
    "PATCH /api/v1/roles/{role_id}": "user_management.update_role",
    "DELETE /api/v1/roles/{role_id}": "user_management.delete_role",
    "PATCH /api/v1/tasks/{task_id}": "project_management.update_task",
    "DELETE /api/v1/tasks/{task_id}": "project_management.delete_task",
    "PUT /api/v1/tasks/{task_id}/attachments/{file_id}": "project_management.attach_file",
    "DELETE /api/v1/tasks/{task_id}/attachments/{file_id}": "project_management.detach_file",
    "POST /api/v1/tasks/{task_id}/comments": "project_management.add_comment",
    "POST /api/v1/tasks/{task_id}/time-entries": "project_management.log_time",
    "POST /api/v1/users": "user_management.invite_user",
    "PATCH /api/v1/users/me": "user_management.update_me",
    "POST /api/v1/users/me/password": "user_management.change_password",
    "POST /api/v1/users/register": "user_management.register_user",
    "PATCH /api/v1/users/{user_id}": "user_management.update_user",
    "DELETE /api/v1/users/{user_id}": "user_management.delete_user",
    "PUT /api/v1/users/{user_id}/roles/{role_name}": "user_management.assign_role",
    "DELETE /api/v1/users/{user_id}/roles/{role_name}": "user_management.revoke_role",
}
"""Operation → the action of its line; a mutating operation that is missing here fails."""


class Auditor:
    """Calls routes, and looks at what the trail says of each call."""

    def __init__(self, p: RunningPlatform) -> None:
        self.p, self.seen, self._count = p, set[str](), 0

    async def call(
        self,
        operation: str,
        client: Any,
        body: Any = None,
        *,
        outcome: str = "done",
        more: Mapping[str, str] | None = None,
        sent: Mapping[str, Any] | None = None,
        **path: Any,
    ) -> Any:
        """Call an operation with a JSON body, or with what is `sent`, and `more` headers; return the answer."""
        method, _, template = operation.partition(" ")
        self._count += 1
        request_id = f"audited-{self._count}"
        headers = {"X-Request-ID": request_id, **(more or {})}
        arguments: dict[str, Any] = dict(sent or {}) if body is None else {"json": body}
        answer = await client.request(method, template.format(**path), headers=headers, **arguments)
        lines = await self.p.sql(
            "SELECT actor_id, action, outcome, host(ip) AS ip, resource_type, resource_id, occurred_at, traceparent"
            " FROM audit.audit_logs WHERE request_id = %(id)s",
            id=request_id,
        )
        action = ACTIONS[operation]
        if action is None:
            assert lines == []
            return answer
        assert len(lines) == 1, (operation, answer.status_code, answer.text, lines)
        [line] = lines
        assert (line["action"], line["outcome"]) == (action, outcome), (operation, answer.text)
        assert answer.is_success == (outcome == "done"), (operation, answer.text)
        assert line["ip"] == "127.0.0.1"
        assert len(line["traceparent"]) == 55
        token = client.headers.get("authorization")
        assert (line["actor_id"] is None) == (token is None), operation
        if outcome == "done":
            self.seen.add(operation)
        return answer


async def test_row_84_every_change_has_one_line(platform: PlatformFactory) -> None:
    """Row 84: who, what, from where, in which request; in the same transaction, so a refused one has its line too."""
    shipped = [*MODULES, "courses", "orders", "posts"]
    async with (
        running_gateway() as gateway,
        platform(shipped, seed=essentials, settings={"PAYMENT_GATEWAY_URL": gateway.url}) as p,
    ):
        every = {str(operation) for operation in await operations(p) if operation.method != "GET"}
        assert every == ACTIONS.keys()
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        audit = Auditor(p)
        await _accounts(audit, p, root, eve)
        await _roles_and_users(audit, root, eve)
        await _notifications(audit, p, root)
        guest = await sign_up(p, "guest")
        await _files(audit, root, guest)
        await _projects(audit, root, guest)
        await _sales(audit, root)
        await _posts(audit, root, guest)
        assert audit.seen == {operation for operation, action in ACTIONS.items() if action}


async def _accounts(audit: Auditor, p: RunningPlatform, root: Account, eve: Account) -> None:
    ada = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
    await audit.call("POST /api/v1/users/register", p.client, ada)
    await audit.call("POST /api/v1/users/register", p.client, ada, outcome="refused")
    credentials = {"email": eve.email, "password": PASSWORD}
    await audit.call("POST /api/v1/auth/login", p.client, credentials)
    await audit.call(
        "POST /api/v1/auth/login", p.client, credentials | {"password": "wrong"}, outcome="refused"
    )
    nobody = {"email": "nobody@example.com", "password": "wrong"}
    await audit.call("POST /api/v1/auth/login", p.client, nobody, outcome="refused")
    pair = await audit.call("POST /api/v1/auth/refresh", p.client, {"refresh_token": eve.refresh_token})
    assert pair.status_code == 200
    spent = {"refresh_token": eve.refresh_token}
    await audit.call("POST /api/v1/auth/refresh", p.client, spent, outcome="refused")
    links: MailLinks = p.kernel.wiring.resolve("user_management", MailLinks)
    verification_id = (await p.events(UserRegistered))[0].verification_id
    assert verification_id is not None
    proof = {"token": links.verification_link(verification_id).partition("token=")[2]}
    await audit.call("POST /api/v1/auth/verify-email", p.client, proof)
    await audit.call("POST /api/v1/auth/verify-email", p.client, proof, outcome="refused")
    await audit.call("POST /api/v1/auth/verify-email/resend", eve.client)
    await audit.call("PATCH /api/v1/users/me", eve.client, {"full_name": "Eve"})
    change = {"current_password": PASSWORD, "new_password": NEW}
    await audit.call("POST /api/v1/users/me/password", eve.client, change)
    await audit.call("POST /api/v1/users/me/password", eve.client, change, outcome="refused")
    await audit.call("POST /api/v1/auth/password-reset", p.client, {"email": eve.email})
    await audit.call("POST /api/v1/auth/password-reset", p.client, {"email": "nobody@example.com"})
    await p.deliver()
    reset_id = (await p.events(PasswordResetRequested))[-1].reset_id
    reset = {"token": links.password_reset_link(reset_id).partition("token=")[2], "new_password": PASSWORD}
    await audit.call("POST /api/v1/auth/password-reset/confirm", p.client, reset)
    await audit.call("POST /api/v1/auth/password-reset/confirm", p.client, reset, outcome="refused")
    again, other = await log_in(p, eve.email), await log_in(p, eve.email)
    sessions = (await again.client.get(f"{API}/auth/sessions")).json()["items"]
    victim = next(session["id"] for session in sessions if not session["current"])
    await audit.call("DELETE /api/v1/auth/sessions/{session_id}", again.client, session_id=victim)
    await audit.call(
        "DELETE /api/v1/auth/sessions/{session_id}", again.client, session_id=UNKNOWN, outcome="refused"
    )
    assert other.id == eve.id
    await audit.call("POST /api/v1/auth/logout", again.client)


async def _roles_and_users(audit: Auditor, root: Account, eve: Account) -> None:
    role = {"name": "support", "permissions": ["users:read"]}
    made = await audit.call("POST /api/v1/roles", root.client, role)
    await audit.call("POST /api/v1/roles", root.client, role, outcome="refused")
    role_id = made.json()["id"]
    await audit.call("PATCH /api/v1/roles/{role_id}", root.client, {"description": "x"}, role_id=role_id)
    names = {"user_id": eve.id, "role_name": "support"}
    await audit.call("PUT /api/v1/users/{user_id}/roles/{role_name}", root.client, **names)
    await audit.call("DELETE /api/v1/users/{user_id}/roles/{role_name}", root.client, **names)
    last = {"user_id": root.id, "role_name": "admin"}
    await audit.call(
        "DELETE /api/v1/users/{user_id}/roles/{role_name}", root.client, outcome="refused", **last
    )
    await audit.call("DELETE /api/v1/roles/{role_id}", root.client, role_id=role_id)
    invited = {"email": "new@example.com", "username": "new"}
    await audit.call("POST /api/v1/users", root.client, invited)
    await audit.call("PATCH /api/v1/users/{user_id}", root.client, {"full_name": "E"}, user_id=eve.id)
    await audit.call("DELETE /api/v1/users/{user_id}", root.client, user_id=eve.id)
    await audit.call("DELETE /api/v1/users/{user_id}", root.client, user_id=eve.id, outcome="refused")


async def _notifications(audit: Auditor, p: RunningPlatform, root: Account) -> None:
    off = {"channels": {"email": True, "sms": False, "push": False, "in_app": True}, "kinds": {}}
    await audit.call("PUT /api/v1/notifications/preferences", root.client, off | {"quiet_hours": None})
    wording = {"kind": "user_management.password_changed", "channel": "email", "locale": "en"}
    wording |= {"subject": "Changed", "text": "Your password was changed."}
    await announce(p, root.id)
    [entry] = (await root.client.get("/api/v1/notifications")).json()["items"]
    one = "/api/v1/notifications/{notification_id}"
    await audit.call("POST /api/v1/notifications/read-all", root.client)
    await audit.call(f"POST {one}/read", root.client, notification_id=entry["id"])
    await audit.call(f"DELETE {one}", root.client, notification_id=entry["id"])
    await audit.call(f"DELETE {one}", root.client, notification_id=entry["id"], outcome="refused")
    subscription = {
        "endpoint": "https://push.example.com/1",
        "keys": {
            # the point and the secret of the example in RFC 8291
            # pragma: allowlist nextline secret
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    }
    made = await audit.call("POST /api/v1/notifications/devices", root.client, subscription)
    device = "/api/v1/notifications/devices/{device_id}"
    await audit.call(f"DELETE {device}", root.client, device_id=made.json()["id"])
    base = "/api/v1/notifications/templates"
    made = await audit.call(f"POST {base}", root.client, wording)
    template_id = made.json()["id"]
    await audit.call(f"POST {base}/{{template_id}}/preview", root.client, {}, template_id=template_id)
    changed = wording | {"subject": "Changed today"}
    await audit.call(f"PUT {base}/{{template_id}}", root.client, changed, template_id=template_id)
    await audit.call(f"DELETE {base}/{{template_id}}", root.client, template_id=template_id)
    await p.sql(
        "UPDATE platform.deliveries SET status = 'dead' WHERE id = (SELECT id FROM platform.deliveries LIMIT 1)"
    )
    [dead] = await p.sql("SELECT id FROM platform.deliveries WHERE status = 'dead'")
    retry = "POST /api/v1/platform/deliveries/{delivery_id}/retry"
    await audit.call(retry, root.client, delivery_id=dead["id"])
    await audit.call(retry, root.client, delivery_id=UNKNOWN, outcome="refused")


async def _sales(audit: Auditor, root: Account) -> None:
    """What a saga does has its lines under the saga's own name; the request's is the purchase."""
    course = {"title": "Maps", "price": {"amount": "9.90", "currency": "EUR"}}
    course_id = (await audit.call("POST /api/v1/courses", root.client, course)).json()["id"]
    order = {"course_id": course_id, "payment_token": "tok_ok"}
    saga_id = (await audit.call("POST /api/v1/orders/purchase", root.client, order)).json()["id"]
    nothing = order | {"course_id": UNKNOWN}
    await audit.call("POST /api/v1/orders/purchase", root.client, nothing, outcome="refused")
    for decision in ("compensate", "retry", "skip"):
        route = f"POST {API}/platform/sagas/{{saga_id}}/{decision}"
        await audit.call(route, root.client, saga_id=saga_id)
        await audit.call(route, root.client, saga_id=UNKNOWN, outcome="refused")


async def _posts(audit: Auditor, root: Account, guest: Account) -> None:
    posts = f"{API}/posts"
    post_id = (await audit.call(f"POST {posts}", guest.client, {"title": "Maps", "body": "x"})).json()["id"]
    one = f"{posts}/{{post_id}}"
    await audit.call(f"PATCH {one}", guest.client, {"body": "y"}, post_id=post_id)
    await audit.call(f"POST {one}/publish", root.client, post_id=post_id)
    await audit.call(f"POST {one}/comments", root.client, {"body": "z"}, post_id=post_id)
    await audit.call(f"POST {one}/comments", root.client, {"body": "z"}, post_id=UNKNOWN, outcome="refused")
    await audit.call(f"DELETE {one}", guest.client, post_id=post_id)
    await audit.call(f"DELETE {one}", guest.client, post_id=post_id, outcome="refused")


async def _files(audit: Auditor, root: Account, guest: Account) -> None:
    files, folders = f"{API}/files", f"{API}/folders"
    client, form = root.client, {"files": {"file": ("a.txt", b"one")}}
    file_id = (await audit.call(f"POST {files}/upload", client, sent=form)).json()["id"]
    await audit.call(f"POST {files}/upload", client, sent=form, outcome="refused")
    one = f"{files}/{{file_id}}"
    await audit.call(f"POST {one}/versions", client, sent=form, file_id=file_id)
    await audit.call(f"POST {one}/versions/{{number}}/restore", client, file_id=file_id, number=1)
    await audit.call(f"PATCH {one}", client, {"name": "b.txt"}, file_id=file_id)
    shared = {"file_id": file_id, "user_id": guest.id}
    await audit.call(f"PUT {one}/permissions/{{user_id}}", client, {"level": "read"}, **shared)
    await audit.call(f"DELETE {one}/permissions/{{user_id}}", client, **shared)
    await audit.call(f"DELETE {one}", client, file_id=file_id)
    await audit.call(f"POST {one}/restore", client, file_id=file_id)
    folder_id = (await audit.call(f"POST {folders}", client, {"name": "a"})).json()["id"]
    await audit.call(f"PATCH {folders}/{{folder_id}}", client, {"name": "b"}, folder_id=folder_id)
    await audit.call(f"DELETE {folders}/{{folder_id}}", client, folder_id=folder_id)
    tus = {"Tus-Resumable": "1.0.0"}
    begun = await audit.call(f"POST {files}/uploads", client, more=tus | {"Upload-Length": "9"})
    upload_id = begun.headers["location"].rpartition("/")[2]
    part = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    upload = f"{files}/uploads/{{upload_id}}"
    await audit.call(f"PATCH {upload}", client, sent={"content": b"x"}, more=part, upload_id=upload_id)
    await audit.call(f"DELETE {upload}", client, more=tus, upload_id=upload_id)
    await audit.call(f"OPTIONS {files}/uploads", client)


async def _projects(audit: Auditor, root: Account, guest: Account) -> None:
    client, money = root.client, {"amount": "1", "currency": "EUR"}
    projects, tasks = f"{API}/projects", f"{API}/tasks"
    project = {"project_id": (await audit.call(f"POST {projects}", client, {"name": "a"})).json()["id"]}
    one = f"{projects}/{{project_id}}"
    await audit.call(f"PATCH {one}", client, {"name": "b"}, **project)
    member = {"user_id": str(guest.id), "role": "viewer"}
    await audit.call(f"POST {one}/members", client, member, **project)
    await audit.call(f"POST {one}/members", client, member, outcome="refused", **project)
    theirs = f"{one}/members/{{user_id}}"
    await audit.call(f"PATCH {theirs}", client, {"role": "member"}, user_id=guest.id, **project)
    await audit.call(f"DELETE {theirs}", client, user_id=guest.id, **project)
    await audit.call(f"DELETE {theirs}", client, user_id=root.id, outcome="refused", **project)
    spent = {"amount": money, "note": "x", "spent_on": "2026-11-23"}
    await audit.call(f"POST {one}/expenses", client, spent, **project)
    await audit.call(f"POST {one}/milestones", client, {"name": "x", "due_date": "2026-11-23"}, **project)
    task = {
        "task_id": (await audit.call(f"POST {one}/tasks", client, {"title": "a"}, **project)).json()["id"]
    }
    await audit.call(f"PATCH {tasks}/{{task_id}}", client, {"status": "in_progress"}, **task)
    await audit.call(f"PATCH {tasks}/{{task_id}}", guest.client, {}, outcome="refused", **task)
    worked = {"minutes": 1, "worked_on": "2026-11-23"}
    await audit.call(f"POST {tasks}/{{task_id}}/time-entries", client, worked, **task)
    said = await audit.call(f"POST {tasks}/{{task_id}}/comments", client, {"body": "x"}, **task)
    comment = {"comment_id": said.json()["id"]}
    await audit.call(f"PATCH {API}/comments/{{comment_id}}", client, {"body": "y"}, **comment)
    await audit.call(f"DELETE {API}/comments/{{comment_id}}", client, **comment)
    file = await client.post(f"{API}/files/upload", files={"file": ("plan.txt", b"x")})
    attached = {"file_id": file.json()["id"], **task}
    await audit.call(f"PUT {tasks}/{{task_id}}/attachments/{{file_id}}", client, **attached)
    await audit.call(f"DELETE {tasks}/{{task_id}}/attachments/{{file_id}}", client, **attached)
    await audit.call(f"DELETE {tasks}/{{task_id}}", client, **task)
    await audit.call(f"DELETE {one}", client, **project)


async def test_row_84_denials_are_in_the_trail(platform: PlatformFactory) -> None:
    """Row 84: a missing permission and a bad token, with the route that was tried and by whom."""
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await eve.client.delete(f"{API}/users/{UNKNOWN}", headers={"X-Request-ID": "denied-1"})
        async with p.new_client(
            {"Authorization": "Bearer x", "X-Request-ID": "denied-2"}, ip="10.1.2.3"
        ) as client:
            await client.get(f"{API}/users")
        rows = await p.sql(
            "SELECT request_id, actor_id, action, outcome, detail, host(ip) AS ip FROM audit.audit_logs"
            " WHERE outcome = 'denied' ORDER BY id"
        )
        assert [tuple(row.values()) for row in rows] == [
            ("denied-1", eve.id, f"DELETE {API}/users/{{user_id}}", "denied", "forbidden", "127.0.0.1"),
            ("denied-2", None, f"GET {API}/users", "denied", "unauthenticated", "10.1.2.3"),
        ]


async def test_row_84_the_line_is_part_of_the_change(platform: PlatformFactory) -> None:
    """Row 84: where the trail cannot be written, nothing is changed."""
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await p.sql(
            "ALTER TABLE audit.audit_logs ADD CONSTRAINT disk_is_full CHECK (action <> 'user_management.update_me')"
        )
        answer = await eve.client.patch(f"{API}/users/me", json={"full_name": "Unseen"})
        assert answer.status_code == 500
        assert (await eve.client.get(f"{API}/users/me")).json()["full_name"] is None


TAMPERING = [
    "UPDATE {table} SET id = id",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "CREATE RULE hide AS ON INSERT TO {table} DO INSTEAD NOTHING",
    "CREATE TRIGGER hide BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION platform.uuid7()",
    "DROP TABLE {table}",
    "MERGE INTO {table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO {table} (id) VALUES (gen_random_uuid()) ON CONFLICT (id) DO UPDATE SET id = excluded.id",
]
ELSEWHERE = [
    "UPDATE audit.audit_chain SET audit_id = audit_id",
    "DELETE FROM audit.audit_chain",
    "TRUNCATE audit.audit_chain",
    "DROP SCHEMA audit CASCADE",
    "CREATE TABLE audit.evil (id int)",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "SELECT pg_read_file('/etc/passwd')",
    "SET session_replication_role = replica",
    "CREATE ROLE evil SUPERUSER",
    "UPDATE platform.modules SET role = 'x'",
    "DELETE FROM platform.migrations",
    "SELECT rolpassword FROM pg_authid",
]


async def _state(connection: psycopg.AsyncConnection[Any], statement: str) -> str | None:
    try:
        await connection.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate
    return None


@pytest.mark.parametrize("module", ["platform", *MODULES])
async def test_row_85_no_role_of_the_application_rewrites_the_trail(
    platform: PlatformFactory, module: str
) -> None:
    """Rows 85, 93: through the very connections that each module's commands use."""
    async with platform(MODULES, seed=essentials) as p:
        await sign_up(p, "eve")
        lines = await p.sql("SELECT md5(string_agg(l::text, ',' ORDER BY id)) AS all FROM audit.audit_logs l")
        tables = ["audit.audit_logs", "audit.domain_events"]
        statements = [text.format(table=table) for table in tables for text in TAMPERING] + ELSEWHERE
        others = {"user_management": "notification.email_logs", "notification": "user_management.users"}
        if module in others:
            statements += [f"SELECT * FROM {others[module]}", f"DELETE FROM {others[module]}"]
            statements += ["SELECT payload FROM audit.domain_events", "SELECT * FROM audit.audit_logs"]
            statements += [f"SELECT * FROM {others[module].split('.')[0]}.alembic_version"]
        role = p.kernel.pools.roles[module]
        async with await psycopg.AsyncConnection.connect(p.database_url, autocommit=True) as connection:
            await connection.execute(f'SET ROLE "{role}"'.encode())
            allowed = [
                statement for statement in statements if await _state(connection, statement) != "42501"
            ]
        assert allowed == []
        now = await p.sql("SELECT md5(string_agg(l::text, ',' ORDER BY id)) AS all FROM audit.audit_logs l")
        assert now == lines
        [known] = await p.sql(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolcanlogin FROM pg_roles"
            " WHERE rolname = %(role)s",
            role=role,
        )
        assert not any(known.values())
