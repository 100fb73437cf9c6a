task odds (xs: list) -> list
about     The odd elements.
ensures   not (any (\x -> even x) result)
example   [-2] -> []
example   [3, -8, 9, 3, 6] -> [3, 9, 3]
example   [-3, -8, -3, 5, 0, -9] -> [-3, -3, 5, -9]
example   [7, 9, -4, 4, 5, -2, 8] -> [7, 9, 5]
example   [-3, -2, 4, -4, 4, -5, -6, -5] -> [-3, -5, -5]
reference filter (\x -> not (even x)) xs
