/**
 * A client of Holdfast: runs, artifacts, models and the registry of one server.
 *
 * <p>Begin with {@link holdfast.Client#connect()}. What this layer does not offer is reached
 * through the generated stubs of {@code holdfast.v1}, made on {@link holdfast.Client#channel()}.
 */
package holdfast;
