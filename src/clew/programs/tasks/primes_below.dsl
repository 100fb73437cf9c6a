task primes_below (n: int) -> list
about     The prime numbers below n.
requires  0 <= n && n <= 100
ensures   length result <= n
example   0 -> []
example   3 -> [2]
example   8 -> [2, 3, 5, 7]
example   12 -> [2, 3, 5, 7, 11]
example   20 -> [2, 3, 5, 7, 11, 13, 17, 19]
reference filter (\x -> not (any (\y -> x % y == 0) (drop 2 (range x)))) (drop 2 (range n))
