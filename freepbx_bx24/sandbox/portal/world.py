"""The data that the portal starts with: employees, CRM entities, sources and excluded numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from freepbx_bx24.sandbox.portal.world_index import EntityIndex, normalise

__all__ = ["Employee", "Entity", "World", "normalise"]

FIRST_NAMES = ("Anton", "Boris", "Daria", "Elena", "Fyodor", "Galina", "Igor", "Ksenia", "Lev", "Marina")
LAST_NAMES = ("Belov", "Danilin", "Ershov", "Fomin", "Gusev", "Isaev", "Karpov", "Lavrov", "Makarov", "Nosov")


@dataclass
class Employee:
    """A user of the portal. `extension` is the internal number (UF_PHONE_INNER), digits, or None."""

    user_id: int
    name: str
    last_name: str = ""
    extension: str | None = None
    active: bool = True
    work_phone: str | None = None
    personal_phone: str = ""
    personal_mobile: str = ""
    user_type: str = "employee"
    may_view_statistics: bool = True
    timeman: str = "OPENED"
    admin: bool = False
    time_zone: str = ""

    @property
    def phones(self) -> list[str]:
        """The outside numbers of this person, normalised as the CRM does."""
        return [normalise(phone) for phone in (self.work_phone, self.personal_phone, self.personal_mobile) if phone]


@dataclass
class Entity:
    """A CRM entity. `client` is the contact or company that a deal or a repeat lead belongs to."""

    entity_type: str
    entity_id: int
    name: str
    phones: list[str] = field(default_factory=list)
    assigned_by_id: int = 1
    source_id: str = "CALL"
    closed: bool = False
    client: tuple[str, int] | None = None
    created_by_call: str | None = None

    @property
    def key(self) -> tuple[str, int]:
        """(CRM_ENTITY_TYPE, CRM_ENTITY_ID)."""
        return self.entity_type, self.entity_id


@dataclass
class World:
    """Everything that exists apart from calls. Changed by calls (new leads, new owners)."""

    employees: list[Employee] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)
    sources: set[str] = field(default_factory=lambda: {"CALL", "WEB", "ADVERTISING", "PARTNER", "OTHER"})
    excluded_numbers: set[str] = field(default_factory=set)
    _index: EntityIndex = field(default_factory=EntityIndex, repr=False, compare=False)

    @classmethod
    def default(cls) -> World:
        """Admin (user 1, no extension), extensions 101..199 as users 1101..1199 (198 dismissed) and three clients."""
        employees = [Employee(1, "Admin", admin=True)]
        for extension in range(101, 200):
            tens, ones = divmod(extension - 101, 10)
            employees.append(
                Employee(
                    extension + 1000,
                    FIRST_NAMES[ones],
                    LAST_NAMES[tens],
                    extension=str(extension),
                    active=extension != 198,
                    personal_mobile="+7 916 000-01-01" if extension == 101 else "",
                )
            )
        return cls(
            employees=employees,
            entities=[
                Entity("CONTACT", 42, "Anna Petrova", ["+7 495 123-45-67"], assigned_by_id=1102),
                Entity("COMPANY", 7, "Horns and Hooves", ["+7 812 000-00-07"], assigned_by_id=1103),
                Entity("LEAD", 31, "Question from the site", ["+7 495 000-00-31"], assigned_by_id=1104),
            ],
        )

    def employee(self, user_id: int) -> Employee | None:
        """The person with this id, dismissed ones too."""
        return next((person for person in self.employees if person.user_id == user_id), None)

    def active_employee(self, user_id: int) -> Employee | None:
        """The person with this id who can take calls: active and a real user."""
        person = self.employee(user_id)
        return person if person and person.active and person.user_type == "employee" else None

    def by_extension(self, extension: str) -> Employee | None:
        """The active real person with this internal number, compared exactly."""
        return next(
            (
                person
                for person in self.employees
                if extension and person.extension == extension and self.active_employee(person.user_id)
            ),
            None,
        )

    def entity(self, entity_type: str, entity_id: int) -> Entity | None:
        """The CRM entity with this key."""
        return self._index.follow(self.entities).entity((entity_type, entity_id))

    def with_phone(self, entity_type: str, phone: str) -> list[Entity]:
        """Entities of a type that have this number, in order of id; `phone` in any writing."""
        return self._index.follow(self.entities).with_phone(entity_type, phone)

    def belonging_to(self, client: tuple[str, int]) -> list[Entity]:
        """The deals and repeat leads of a contact or company."""
        return self._index.follow(self.entities).belonging_to(client)

    def reindex(self) -> None:
        """Call it after a change inside an entity that calls may have met already: its phones, its client."""
        self._index.forget()

    def create(self, entity_type: str, name: str, phone: str, **fields: object) -> Entity:
        """A new entity with the next free id of its type."""
        number = self._index.follow(self.entities).next_id(entity_type)
        entity = Entity(entity_type, number, name, [phone] if phone else [])
        for key, value in fields.items():
            setattr(entity, key, value)
        self.entities.append(entity)
        return entity
