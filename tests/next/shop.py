"""A small domain for version 10 of the library: orders, and parcels that follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:  # the types are those of the version in .venv
    from eventsourcing.domain import AggregateEvent, triggers
    from eventsourcing.msgspec import Aggregate, AggregatesApplication, Decision
    from eventsourcing.projection import Projection
    from eventsourcing.system import ProcessApplication, System

    from aurora_es import JournaledView, ViewTable

    class Order(Aggregate):
        """What was ordered."""

        class Placed(Decision):
            """It was placed."""

            article: str

        class Changed(Decision):
            """Another article was wanted."""

            article: str

        @triggers(Placed)
        def __init__(self, article: str) -> None:
            """Place it."""
            self.article = article

        @triggers(Changed)
        def change(self, article: str) -> None:
            """Want another one."""
            self.article = article

    class Parcel(Aggregate):
        """What was packed."""

        class Packed(Decision):
            """It was packed."""

            article: str

        @triggers(Packed)
        def __init__(self, article: str) -> None:
            """Pack it."""
            self.article = article

    class Orders(AggregatesApplication):
        """Takes orders."""

        def place(self, article: str) -> int:
            """Place one; returns its position."""
            return self.save(Order(article))[-1].notification.id

    class Shipping(ProcessApplication[Decision], AggregatesApplication):
        """Packs a parcel for each order."""

        def policy(self, envelope: Any, processing_event: Any) -> None:
            """React to orders."""
            if isinstance(envelope.decision, Order.Placed):
                processing_event.collect_events(Parcel(envelope.decision.article))

    system = System(pipes=[[Orders, Shipping]])

    class ArticlesView(JournaledView):
        """The article of each order."""

        articles = ViewTable(str, str)

        def put(self, order_id: str, article: str, tracking: Any) -> None:
            """Note it."""
            with self.transaction(tracking) as t:
                t.put(self.articles, order_id, article)

    class Articles(Projection[ArticlesView, AggregateEvent[Decision]]):
        """Notes articles."""

        name = "Articles"

        def process_event(self, envelope: Any, tracking: Any) -> None:
            """Note one."""
            self.view.put(envelope.originator_id, envelope.decision.article, tracking)

    class LoudArticles(Articles):
        """The same view with another content."""

        name = "Articles"

        def process_event(self, envelope: Any, tracking: Any) -> None:
            """Note one in capitals."""
            self.view.put(envelope.originator_id, envelope.decision.article.upper(), tracking)

    def replay_order(initial: Any, events: Any) -> Any:
        """Rebuild an order, of whose class its events say nothing."""
        order = initial or Order.__new__(Order)
        for event in events:
            order = event.mutate(order)
        return order
