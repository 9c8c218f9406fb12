/** Where the client is: not where the proxies dial from, whose ports it would take. */
export const CLIENT = '127.0.0.8';
