// What all programs of this folder send, and how they end.

/** Each number below `count`, with the kind of call whose turn it is. */
export function* turns(count, kinds) {
  for (let number = 0; number < count; number++) yield [number, number % kinds]
}

export const user = (number) => `user-${number % 97}`

/** Properties with what tends to break on the way: letters, quotes, floats, nested values. */
export const props = (number) => ({
  number,
  total: number / 7,
  größe: 'ü "<&>" 😀',
  when: new Date(1_793_871_000_000 + number),
  items: [{ sku: 'a', paid: true, discount: null }],
})

/** Sends until it succeeds, as an application does whose SDK doesn't. */
export async function again(send, errors) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send()
    } catch (error) {
      if (attempt === 8) return errors.push(error)
      await new Promise((resolve) => setTimeout(resolve, 100 * attempt))
    }
  }
}

/** Ends with 1 if the SDK reported an error. */
export function finish(errors) {
  for (const error of errors.slice(0, 5)) console.error('the SDK reports', error)
  process.exitCode = errors.length > 0 ? 1 : 0
}
