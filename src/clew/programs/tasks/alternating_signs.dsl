task alternating_signs (xs: list) -> list
about     The elements, those at odd positions with their signs changed; positions count from 0.
ensures   length result == length xs
example   [1, 1] -> [1, -1]
example   [4, 1, 1, -1, -6, 9, 7] -> [4, -1, 1, 1, -6, -9, 7]
example   [8, 6, -1, -4, 9] -> [8, -6, -1, 4, 9]
example   [-4, 5, 8, 7, -7, 3, 6] -> [-4, -5, 8, -7, -7, -3, 6]
example   [-3, 7, 6, 8, -9, 4, 6, -2, 0] -> [-3, -7, 6, -8, -9, -4, 6, 2, 0]
reference zip (\x y -> if (even y) x (neg x)) xs (range (length xs))
