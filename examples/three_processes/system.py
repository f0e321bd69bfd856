"""The third application, and the system that connects all three."""

from __future__ import annotations

from uuid import NAMESPACE_OID, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.system import ProcessApplication, System

from examples.order_system.system import Orders, Shipment, Shipping


class Bill(Aggregate):
    """A bill for one shipment."""

    class Sent(Aggregate.Created):
        """It is on its way."""

        order_id: UUID

    @event(Sent)
    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id

    @staticmethod
    def create_id(order_id: UUID) -> UUID:
        """Return the id of an order's bill: there can only be one."""
        return uuid5(NAMESPACE_OID, f"bill of {order_id}")


class Billing(ProcessApplication[UUID]):
    """Follows shipping and sends a bill for each shipment."""

    @singledispatchmethod
    def policy(
        self,
        domain_event: DomainEventProtocol[UUID],
        processing_event: ProcessingEvent[UUID],
    ) -> None:
        """Leave events of other kinds alone; their position is recorded all the same."""

    @policy.register
    def _planned(
        self, domain_event: Shipment.Planned, processing_event: ProcessingEvent[UUID]
    ) -> None:
        processing_event.collect_events(Bill(domain_event.order_id))

    def is_billed(self, order_id: UUID) -> bool:
        """Whether there is a bill for an order."""
        try:
            self.repository.get(Bill.create_id(order_id))
        except AggregateNotFoundError:
            return False
        return True


three_applications = System(pipes=[[Orders, Shipping, Billing]])
