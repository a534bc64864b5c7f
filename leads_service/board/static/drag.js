// Dragging cards between columns, with a mouse, a pen or a finger.

const DISTANCE = 6; // pixels that a mouse moves before it drags
const HOLD = 350; // milliseconds that a finger rests before it drags; until then it scrolls
const EDGE = 48; // pixels from an edge in which the board or a column scrolls
const SPEED = 12; // pixels per frame

/**
 * Let the cards in the board be dragged.
 *
 * begin(card) returns how many cards move, none if the card has vanished; after that, end() is called
 * in any case, and drop(card, section) with the column below the pointer, or null.
 */
export function draggable(board, { begin, drop, end }) {
  let drag = null; // {card, x, y, ghost, timer}

  const sectionAt = (x, y) => document.elementFromPoint(x, y)?.closest("section[data-status]") ?? null;

  function lift() {
    const { card } = drag;
    const count = begin(card);
    if (!count) return void (drag = null);
    drag.ghost = card.cloneNode(true);
    drag.ghost.className = "card ghost";
    drag.ghost.inert = true;
    drag.ghost.removeAttribute("aria-label");
    drag.ghost.setAttribute("aria-hidden", true);
    drag.ghost.dataset.count = count > 1 ? count : "";
    drag.ghost.style.width = `${card.offsetWidth}px`;
    document.body.append(drag.ghost);
    card.classList.add("lifted");
    board.classList.add("dragging");
    requestAnimationFrame(scroll);
    follow();
  }

  function follow() {
    drag.ghost.style.translate = `${drag.x - 24}px ${drag.y - 16}px`;
    const target = sectionAt(drag.x, drag.y);
    for (const section of board.children) section.classList.toggle("target", section === target);
  }

  function scroll() {
    if (!drag?.ghost) return;
    const pull = (at, low, high) => (at < low + EDGE ? -SPEED : at > high - EDGE ? SPEED : 0);
    board.scrollLeft += pull(drag.x, 0, innerWidth);
    const list = sectionAt(drag.x, drag.y)?.querySelector(".scroller");
    if (list) {
      const box = list.getBoundingClientRect();
      list.scrollTop += pull(drag.y, box.top, Math.min(box.bottom, innerHeight));
    }
    requestAnimationFrame(scroll);
  }

  function finish(section) {
    const { card, ghost, timer } = drag;
    clearTimeout(timer);
    drag = null;
    if (!ghost) return;
    end();
    ghost.remove();
    card.classList.remove("lifted");
    board.classList.remove("dragging");
    for (const one of board.children) one.classList.remove("target");
    // What follows a drag is no click on the card.
    addEventListener("click", (event) => event.stopPropagation(), { capture: true, once: true });
    setTimeout(() => dispatchEvent(new Event("click"))); // if none follows
    drop(card, section);
  }

  board.addEventListener("pointerdown", (event) => {
    const card = event.target.closest(".card");
    if (!card || drag || event.button || event.target.closest("button, input")) return;
    drag = { card, x: event.clientX, y: event.clientY, id: event.pointerId };
    drag.isFinger = event.pointerType === "touch";
    if (drag.isFinger) drag.timer = setTimeout(lift, HOLD);
  });

  addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    const isFar = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > DISTANCE;
    if (!drag.ghost) {
      if (!isFar) return;
      if (drag.isFinger) return finish(null); // it scrolls
      lift();
      if (!drag) return;
    }
    Object.assign(drag, { x: event.clientX, y: event.clientY });
    follow();
  });

  addEventListener("pointerup", (event) => {
    if (drag && event.pointerId === drag.id) finish(sectionAt(event.clientX, event.clientY));
  });
  addEventListener("pointercancel", () => drag && finish(null));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !drag?.ghost) return;
    event.stopPropagation();
    finish(null);
  }, { capture: true });
  // Not passive, so that the browser does not scroll instead.
  addEventListener("touchmove", (event) => drag?.ghost && event.preventDefault(), { passive: false });
  board.addEventListener("contextmenu", (event) => drag?.isFinger && event.preventDefault());
  board.addEventListener("dragstart", (event) => event.preventDefault());
}
