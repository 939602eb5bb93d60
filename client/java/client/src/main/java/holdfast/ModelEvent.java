package holdfast;

import holdfast.v1.Event;
import holdfast.v1.RegisteredModel;
import java.util.Optional;

/**
 * What a watch of a registered model tells; one of the two is there.
 *
 * @param cursor A watch that is given it goes on behind this event.
 * @param state The model as it is, with its aliases: first, and once.
 * @param change What changed.
 */
public record ModelEvent(String cursor, Optional<RegisteredModel> state, Optional<Event> change) {}
