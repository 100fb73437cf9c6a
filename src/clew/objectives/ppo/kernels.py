"""What runs compiled: advantages, and for perceptrons on a CPU acting and a whole optimiser step.

A net here is two towers (policy, value), each a chain of dense layers whose weights lie one behind the other in one
vector of float32: of each layer a matrix [inputs, outputs] and its bias, the head last; behind the towers of a policy
over vectors, the logarithms of its deviations. All in one file: numba compiles anew what has changed in a file, not
what was taken in from another.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FAST = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""What sums may be reordered by. That there is no NaN is not assumed: one has to be seen."""
TANH, RELU = 0, 1
POLICY_LOSS, VALUE_LOSS, ENTROPY, KL, CLIPPED, NORM, UPDATED, TOTAL = range(8)
"""Places in what `ppo_step` tells."""
HALF_LOG_TWO_PI = np.float32(0.5 * math.log(2 * math.pi))
ZERO, ONE, HALF, TWO = np.float32(0), np.float32(1), np.float32(0.5), np.float32(2)
_FAR = np.float32(-1e30)
_TINY = np.float32(1e-8)

# The rational function by which Eigen computes tanh in float32: within 3 units in the last place, and, unlike the
# library's, taken for eight numbers at once.
_END = np.float32(7.90531110763549805)
_A1, _A3, _A5, _A7 = (
    np.float32(each)
    for each in (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
)
_A9, _A11, _A13 = (np.float32(each) for each in (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16))
_B0, _B2, _B4, _B6 = (
    np.float32(each)
    for each in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)


@njit(cache=True)
def generalised_advantages(
    rewards: Floats, values: Floats, next_values: Floats, ends: Bools, gamma: float, trace: float, advantages: Floats
) -> None:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16), all arrays [steps, environments].

    `next_values`: the value of what followed each step: 0 where the episode terminated, that of its last observation
    where it was broken off. `ends`: where an episode ended either way, so that nothing later belongs to it.
    """
    steps, count = rewards.shape
    for place in range(count):
        later = 0.0
        for step in range(steps - 1, -1, -1):
            if ends[step, place]:
                later = 0.0
            delta = rewards[step, place] + gamma * next_values[step, place] - values[step, place]
            later = delta + gamma * trace * later
            advantages[step, place] = later


@njit(cache=True)
def discounted_returns(
    rewards: Floats, ends: Bools, gamma: float, running: npt.NDArray[np.float64], found: npt.NDArray[np.float64]
) -> None:
    """The discounted sum of rewards so far, [steps, environments]; `running` [environments] is what it goes on from."""
    steps, count = rewards.shape
    for step in range(steps):
        for place in range(count):
            running[place] = running[place] * gamma + rewards[step, place]
            found[step, place] = running[place]
            if ends[step, place]:
                running[place] = 0.0


@njit(cache=True, fastmath=True, error_model="numpy")
def _activate(y: Floats, bias: Floats, kind: int) -> None:
    rows, width = y.shape
    if kind == TANH:
        for row in range(rows):
            for at in range(width):
                x = min(max(y[row, at] + bias[at], -_END), _END)
                s = x * x
                above = x * (_A1 + s * (_A3 + s * (_A5 + s * (_A7 + s * (_A9 + s * (_A11 + s * _A13))))))
                y[row, at] = above / (_B0 + s * (_B2 + s * (_B4 + s * _B6)))
    else:
        for row in range(rows):
            for at in range(width):
                y[row, at] = max(y[row, at] + bias[at], ZERO)


@njit(cache=True, fastmath=True, error_model="numpy")
def _derive(gradient: Floats, y: Floats, kind: int) -> None:
    """Turn the gradient of what an activation gave into that of what it took."""
    rows, width = y.shape
    if kind == TANH:
        for row in range(rows):
            for at in range(width):
                gradient[row, at] *= ONE - y[row, at] * y[row, at]
    else:
        for row in range(rows):
            for at in range(width):
                gradient[row, at] = gradient[row, at] if y[row, at] > ZERO else ZERO


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _forward(weights: Floats, at: int, sizes: Ints, rows: int, kind: int, layers: Floats) -> int:
    """One tower: `layers` holds the inputs [rows, sizes[0]] at its front, and then gets what each layer gives.

    Returns the place in `layers` of what the head gives, [rows, sizes[-1]].
    """
    place = 0
    last = len(sizes) - 2
    for layer in range(last + 1):
        inputs, outputs = sizes[layer], sizes[layer + 1]
        x = layers[place : place + rows * inputs].reshape(rows, inputs)
        place += rows * inputs
        y = layers[place : place + rows * outputs].reshape(rows, outputs)
        matrix = weights[at : at + inputs * outputs].reshape(inputs, outputs)
        at += inputs * outputs
        bias = weights[at : at + outputs]
        at += outputs
        np.dot(x, matrix, y)
        if layer < last:
            _activate(y, bias, kind)
        else:
            for row in range(rows):
                for column in range(outputs):
                    y[row, column] += bias[column]
    return place


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _backward(
    weights: Floats,
    gradients: Floats,
    end: int,
    sizes: Ints,
    rows: int,
    kind: int,
    layers: Floats,
    place: int,
    flow: Floats,
    other: Floats,
) -> None:
    """Gradients of a tower whose weights end at `end`, from that of what its head gives, at the front of `flow`."""
    last = len(sizes) - 2
    at = end
    for layer in range(last, -1, -1):
        inputs, outputs = sizes[layer], sizes[layer + 1]
        dy = flow[: rows * outputs].reshape(rows, outputs)
        if layer < last:
            _derive(dy, layers[place : place + rows * outputs].reshape(rows, outputs), kind)
        at -= outputs
        bias = gradients[at : at + outputs]
        bias[:] = ZERO
        for row in range(rows):
            for column in range(outputs):
                bias[column] += dy[row, column]
        at -= inputs * outputs
        place -= rows * inputs
        x = layers[place : place + rows * inputs].reshape(rows, inputs)
        np.dot(x.T, dy, gradients[at : at + inputs * outputs].reshape(inputs, outputs))
        if layer:
            dx = other[: rows * inputs].reshape(rows, inputs)
            np.dot(dy, weights[at : at + inputs * outputs].reshape(inputs, outputs).T, dx)
            flow, other = other, flow


@njit(cache=True, fastmath=FAST, error_model="numpy")
def act(
    weights: Floats,
    sizes: Ints,
    kind: int,
    boxed: bool,
    deviations: int,
    observations: Floats,
    masks: Bools,
    masked: bool,
    noise: Floats,
    layers: Floats,
    discrete: Ints,
    continuous: Floats,
) -> None:
    """Sample an action a row of normalised `observations` [rows, sizes[0]].

    Of choices, the greatest sum of logit and Gumbel `noise` is taken (Gumbel 1954), which draws from the softmax; of
    vectors, the mean plus the deviation times normal `noise`.
    """
    rows = len(observations)
    layers[: rows * sizes[0]] = observations.ravel()
    place = _forward(weights, 0, sizes, rows, kind, layers)
    outputs = sizes[-1]
    found = layers[place : place + rows * outputs].reshape(rows, outputs)
    for row in range(rows):
        if boxed:
            for at in range(outputs):
                continuous[row, at] = found[row, at] + math.exp(weights[deviations + at]) * noise[row, at]
        else:
            best, chosen = _FAR * TWO, 0
            for at in range(outputs):
                score = found[row, at] + noise[row, at]
                if score > best and (not masked or masks[row, at]):
                    best, chosen = score, at
            discrete[row, 0] = chosen


@njit(cache=True, fastmath=FAST, error_model="numpy")
def judge(
    weights: Floats,
    policy_sizes: Ints,
    value_sizes: Ints,
    kind: int,
    boxed: bool,
    observations: Floats,
    masks: Bools,
    masked: bool,
    discrete: Ints,
    continuous: Floats,
    layers: Floats,
    block: int,
    log_probabilities: Floats,
    values: Floats,
) -> None:
    """Log-probability of each row's action, and its value; `block` rows at a time."""
    value_at = _size(policy_sizes)
    deviations = value_at + _size(value_sizes)
    outputs = policy_sizes[-1]
    probabilities = np.empty(outputs, np.float32)
    for start in range(0, len(observations), block):
        rows = min(block, len(observations) - start)
        inputs = rows * policy_sizes[0]
        layers[:inputs] = observations[start : start + rows].ravel()
        place = _forward(weights, 0, policy_sizes, rows, kind, layers)
        found = layers[place : place + rows * outputs].reshape(rows, outputs)
        for row in range(rows):
            if boxed:
                log_probabilities[start + row] = _gaussian(found[row], continuous[start + row], weights, deviations)
            else:
                _masked_softmax(found[row], masks[(start + row) if masked else 0], masked, probabilities)
                log_probabilities[start + row] = found[row, discrete[start + row, 0]]
        layers[:inputs] = observations[start : start + rows].ravel()
        place = _forward(weights, value_at, value_sizes, rows, kind, layers)
        for row in range(rows):
            values[start + row] = layers[place + row]


@njit(cache=True, error_model="numpy")
def _size(sizes: Ints) -> int:
    total = 0
    for layer in range(len(sizes) - 1):
        total += (sizes[layer] + 1) * sizes[layer + 1]
    return total


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _gaussian(mean: Floats, taken: Floats, weights: Floats, deviations: int) -> float:
    total = ZERO
    for at in range(len(mean)):
        log_deviation = weights[deviations + at]
        off = (taken[at] - mean[at]) * math.exp(-log_deviation)
        total -= HALF * off * off + log_deviation + HALF_LOG_TWO_PI
    return float(total)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _masked_softmax(logits: Floats, mask: Bools, masked: bool, probabilities: Floats) -> None:
    """Turn logits into log-probabilities, in place; `probabilities` gets their exponentials, 0 for what is illegal."""
    greatest = _FAR
    for at in range(len(logits)):
        if (not masked or mask[at]) and logits[at] > greatest:
            greatest = logits[at]
    total = ZERO
    for at in range(len(logits)):
        probabilities[at] = math.exp(logits[at] - greatest) if not masked or mask[at] else ZERO
        total += probabilities[at]
    below = greatest + math.log(total)
    scale = ONE / total
    for at in range(len(logits)):
        probabilities[at] *= scale
        logits[at] -= below


@njit(cache=True, fastmath=FAST, error_model="numpy")
def ppo_step(
    weights: Floats,
    gradients: Floats,
    first: Floats,
    second: Floats,
    decays: Bools,
    policy_sizes: Ints,
    value_sizes: Ints,
    kind: int,
    boxed: bool,
    observations: Floats,
    masks: Bools,
    masked: bool,
    discrete: Ints,
    continuous: Floats,
    old_log_probabilities: Floats,
    advantages: Floats,
    returns: Floats,
    old_values: Floats,
    chosen: Ints,
    layers: Floats,
    flow: Floats,
    other: Floats,
    settings: npt.NDArray[np.float64],
    told: npt.NDArray[np.float64],
) -> None:
    """One optimiser step of PPO on the rows `chosen`: forward, loss, backward, clipping, AdamW, all in place.

    `settings`: clip, value coefficient, entropy coefficient, value clip, target KL, what is taken off the advantages
    and what they are then multiplied by, largest gradient norm, learning rate, decay of the first and of the second
    moment, epsilon, weight decay, number of this update (1, 2, ...). `told` gets the figures of the step; where its
    KL divergence passes 1.5 times the target, or loss or norm are no numbers, nothing is changed (`UPDATED` is 0).
    """
    rows = len(chosen)
    outputs, inputs = policy_sizes[-1], policy_sizes[0]
    share = ONE / np.float32(rows)
    clip, value_coef, entropy_coef = np.float32(settings[0]), np.float32(settings[1]), np.float32(settings[2])
    value_clip, target_kl = np.float32(settings[3]), settings[4]
    centre, scale = np.float32(settings[5]), np.float32(settings[6])
    value_at = _size(policy_sizes)
    deviations = value_at + _size(value_sizes)

    for row in range(rows):
        for at in range(inputs):
            layers[row * inputs + at] = observations[chosen[row], at]
    place = _forward(weights, 0, policy_sizes, rows, kind, layers)
    found = layers[place : place + rows * outputs].reshape(rows, outputs)
    back = flow[: rows * outputs].reshape(rows, outputs)
    probabilities = np.empty(outputs, np.float32)
    policy_loss = entropies = divergence = clipped_count = 0.0
    if boxed:
        for at in range(outputs):
            gradients[deviations + at] = -entropy_coef
            entropies += float(rows * (HALF + HALF_LOG_TWO_PI + weights[deviations + at]))
    for row in range(rows):
        index = chosen[row]
        advantage = (advantages[index] - centre) * scale
        if boxed:
            log_probability = _gaussian(found[row], continuous[index], weights, deviations)
        else:
            _masked_softmax(found[row], masks[index if masked else 0], masked, probabilities)
            log_probability = float(found[row, discrete[index, 0]])
        difference = np.float32(log_probability - old_log_probabilities[index])
        ratio = np.float32(math.exp(difference))
        free = ratio * advantage
        bound = min(max(ratio, ONE - clip), ONE + clip) * advantage
        policy_loss -= float(min(free, bound))
        divergence += float((ratio - ONE) - difference)
        if abs(ratio - ONE) > clip:
            clipped_count += 1.0
        slope = -free * share if free <= bound else ZERO
        if boxed:
            for at in range(outputs):
                precision = np.float32(math.exp(-weights[deviations + at]))
                off = (continuous[index, at] - found[row, at]) * precision
                back[row, at] = slope * off * precision
                gradients[deviations + at] += slope * (off * off - ONE)
        else:
            entropy = ZERO
            for at in range(outputs):
                if probabilities[at] > ZERO:
                    entropy -= probabilities[at] * found[row, at]
            entropies += float(entropy)
            for at in range(outputs):
                back[row, at] = -slope * probabilities[at]
                if probabilities[at] > ZERO:
                    back[row, at] += entropy_coef * share * probabilities[at] * (found[row, at] + entropy)
            back[row, discrete[index, 0]] += slope
    divergence /= rows
    _backward(weights, gradients, value_at, policy_sizes, rows, kind, layers, place, flow, other)

    for row in range(rows):
        for at in range(inputs):
            layers[row * inputs + at] = observations[chosen[row], at]
    place = _forward(weights, value_at, value_sizes, rows, kind, layers)
    value_loss = 0.0
    for row in range(rows):
        index = chosen[row]
        value = layers[place + row]
        error = value - returns[index]
        loss, slope = error * error, TWO * error
        if value_clip > ZERO:
            moved = value - old_values[index]
            held = old_values[index] + min(max(moved, -value_clip), value_clip) - returns[index]
            if held * held > loss:
                loss = held * held
                slope = TWO * held if abs(moved) <= value_clip else ZERO
        value_loss += loss
        flow[row] = value_coef * share * slope
    _backward(weights, gradients, deviations, value_sizes, rows, kind, layers, place, flow, other)

    squares32 = ZERO
    for at in range(len(gradients)):
        squares32 += gradients[at] * gradients[at]
    norm = math.sqrt(squares32)
    told[POLICY_LOSS], told[VALUE_LOSS] = policy_loss / rows, value_loss / rows
    told[ENTROPY], told[KL], told[CLIPPED], told[NORM] = entropies / rows, divergence, clipped_count / rows, norm
    told[TOTAL] = told[POLICY_LOSS] + value_coef * told[VALUE_LOSS] - entropy_coef * told[ENTROPY]
    told[UPDATED] = 0.0
    if not (math.isfinite(norm) and math.isfinite(told[TOTAL])):
        return
    if target_kl > 0.0 and divergence > 1.5 * target_kl:
        return
    told[UPDATED] = 1.0
    limit = settings[7]
    shrink = np.float32(min(1.0, limit / (norm + 1e-6))) if limit > 0.0 else ONE
    rate, beta1, beta2 = settings[8], settings[9], settings[10]
    number = settings[13]
    step = np.float32(rate / (1.0 - beta1**number))
    root = np.float32(1.0 / math.sqrt(1.0 - beta2**number))
    epsilon, keep = np.float32(settings[11]), np.float32(1.0 - rate * settings[12])
    keep1, keep2 = np.float32(beta1), np.float32(beta2)
    take1, take2 = np.float32(1.0 - beta1), np.float32(1.0 - beta2)
    if settings[12] > 0.0:
        for at in range(len(weights)):
            if decays[at]:
                weights[at] *= keep
    for at in range(len(weights)):
        gradient = gradients[at] * shrink
        first[at] = keep1 * first[at] + take1 * gradient
        second[at] = keep2 * second[at] + take2 * gradient * gradient
        weights[at] -= step * first[at] / (np.float32(math.sqrt(second[at])) * root + epsilon)
