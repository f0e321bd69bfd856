"""The two applications and the system that connects them."""

from __future__ import annotations

from uuid import NAMESPACE_OID, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application, ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.system import ProcessApplication, System


class Order(Aggregate):
    """An order of one article."""

    class Placed(Aggregate.Created):
        """Somebody ordered something."""

        article: str

    class Paid(Aggregate.Event):
        """The money is there."""

        address: str

    @event(Placed)
    def __init__(self, article: str) -> None:
        self.article = article
        self.is_paid = False

    @event(Paid)
    def pay(self, address: str) -> None:
        """Record that the order was paid, and where it is to go."""
        self.is_paid = True
        self.address = address


class Shipment(Aggregate):
    """A parcel for one paid order."""

    class Planned(Aggregate.Created):
        """The parcel is to be packed."""

        order_id: UUID
        address: str

    @event(Planned)
    def __init__(self, order_id: UUID, address: str) -> None:
        self.order_id = order_id
        self.address = address

    @staticmethod
    def create_id(order_id: UUID) -> UUID:
        """Return the id of an order's shipment: there can only be one."""
        return uuid5(NAMESPACE_OID, f"shipment of {order_id}")


class Orders(Application[UUID]):
    """Takes orders and payments; knows nothing of shipping."""

    def place(self, article: str) -> UUID:
        """Place an order and return its id."""
        order = Order(article)
        self.save(order)
        return order.id

    def pay(self, order_id: UUID, address: str) -> None:
        """Record the payment of an order."""
        order: Order = self.repository.get(order_id)
        order.pay(address)
        self.save(order)


class Shipping(ProcessApplication[UUID]):
    """Follows the orders and plans a shipment for each one that is paid."""

    @singledispatchmethod
    def policy(
        self,
        domain_event: DomainEventProtocol[UUID],
        processing_event: ProcessingEvent[UUID],
    ) -> None:
        """Leave events of other kinds alone; their position is recorded all the same."""

    @policy.register
    def _paid(self, domain_event: Order.Paid, processing_event: ProcessingEvent[UUID]) -> None:
        # Collected, not saved: the runner records it together with the position of the payment.
        shipment = Shipment(domain_event.originator_id, domain_event.address)
        processing_event.collect_events(shipment)

    def shipment(self, order_id: UUID) -> Shipment | None:
        """Return the shipment of an order, or None if there is none yet."""
        try:
            return self.repository.get(Shipment.create_id(order_id))
        except AggregateNotFoundError:
            return None


order_system = System(pipes=[[Orders, Shipping]])
