"""Finds CRM entities by key, phone and owner without a walk through all of them: a portal may hold thousands."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepbx_bx24.sandbox.portal.world import Entity


class EntityIndex:
    """An index that follows a list of entities which tests may lengthen, shorten or replace as they like.

    What it can't see is a change inside an entity (its phones, its client) that it has already read: see `forget`.
    """

    def __init__(self) -> None:
        self._entities: list[Entity] = []
        self._read = 0
        self._last: Entity | None = None
        self.forget()

    def forget(self) -> None:
        """Read everything again at the next look-up."""
        self._read = 0
        self._by_key: dict[tuple[str, int], Entity] = {}
        self._by_phone: dict[tuple[str, str], list[Entity]] = defaultdict(list)
        self._by_client: dict[tuple[str, int], list[Entity]] = defaultdict(list)
        self._highest: dict[str, int] = {}

    def follow(self, entities: list[Entity]) -> EntityIndex:
        """Take in what was added to `entities`; start afresh where it is another list, or not a longer one."""
        grown = entities is self._entities and len(entities) >= self._read
        if not grown or (self._read and entities[self._read - 1] is not self._last):
            self.forget()
            self._entities = entities
        for entity in entities[self._read :]:
            self._take(entity)
        self._read, self._last = len(entities), entities[-1] if entities else None
        return self

    def _take(self, entity: Entity) -> None:
        self._by_key.setdefault(entity.key, entity)
        for phone in {normalise(phone) for phone in entity.phones}:
            self._by_phone[entity.entity_type, phone].append(entity)
        if entity.client:
            self._by_client[entity.client].append(entity)
        self._highest[entity.entity_type] = max(self._highest.get(entity.entity_type, 0), entity.entity_id)

    def entity(self, key: tuple[str, int]) -> Entity | None:
        """The entity with this (CRM_ENTITY_TYPE, CRM_ENTITY_ID)."""
        return self._by_key.get(key)

    def with_phone(self, entity_type: str, phone: str) -> list[Entity]:
        """Entities of a type that have this number, in order of id; `phone` in any writing."""
        wanted = normalise(phone)
        found = self._by_phone.get((entity_type, wanted), []) if wanted else []
        return sorted(found, key=lambda entity: entity.entity_id)

    def belonging_to(self, client: tuple[str, int]) -> list[Entity]:
        """The deals and repeat leads of a contact or company."""
        return self._by_client.get(client, [])

    def next_id(self, entity_type: str) -> int:
        """The next free id of a type."""
        return self._highest.get(entity_type, 0) + 1


def normalise(phone: str) -> str:
    """A number as the CRM compares it: digits, leading 8 to 7 from ten digits up, no 00 or 011 in front."""
    digits = re.sub(r"\D", "", phone)
    if len(digits) >= 10 and digits.startswith("8"):
        digits = "7" + digits[1:]
    return re.sub(r"^(011|00)(?=\d)", "", digits)
