task clamped (low: int, high: int, xs: list) -> list
about     Every element, brought to the nearest number from low to high.
requires  low <= high
ensures   all (\x -> low <= x && x <= high) result
example   0, 5, [7, -3, 4] -> [5, 0, 4]
example   -2, 2, [-9, 9, 1, 0] -> [-2, 2, 1, 0]
example   3, 3, [1, 8] -> [3, 3]
example   1, 6, [] -> []
example   -4, 0, [-7, 2, -1, -4, 5] -> [-4, 0, -1, -4, 0]
reference map (\x -> max low (min x high)) xs
